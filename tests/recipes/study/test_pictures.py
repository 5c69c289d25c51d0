"""A figure is known by what it shows."""

import matplotlib as mpl
from matplotlib.figure import Figure
from study.mini.pictures import as_svg, digest_of


def figure(up: float = 2.0, *, named: str = "JaFR", above: str = "FGSM", at: float = 1.0) -> Figure:
    drawn = Figure()
    axes = drawn.add_subplot()
    axes.plot([0, 1], [1, up], label="model")
    axes.scatter([at], [0.5])
    axes.set_xticks([0, 1], ["FGSM AT", named])
    axes.set_title(above)
    return drawn


def test_another_number_or_word_is_another_figure() -> None:
    figures = (figure(), figure(2.001), figure(named="PGD"), figure(above="PGD"), figure(at=1.001))
    assert len({digest_of(each) for each in figures}) == len(figures)
    assert digest_of(figure()) == digest_of(figure(2 + 1e-12))


def test_style_is_not_what_is_shown() -> None:
    with mpl.rc_context({"lines.linewidth": 7, "figure.figsize": (2, 2)}):
        thick = digest_of(figure())
    assert thick == digest_of(figure())


def test_the_file_tells_what_it_shows() -> None:
    svg = as_svg("a", figure())
    assert f"<dc:identifier>{digest_of(figure())}</dc:identifier>" in svg
