import importlib
import io
import sys

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import colormaps, font_manager
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import spearmanr

from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.plots import (
    GradientPanel,
    gradient_figure,
    heat_map_figure,
    png,
    robustness_figure,
    shares_figure,
    spectra_figure,
    svg,
    tradeoff_figure,
)
from freqreg.evaluation.plots import style as plot_style
from freqreg.evaluation.plots.style import MAP_COLOURS, line_styles
from tests.fresh_imports import imported_anew

RNG = np.random.default_rng(0)
SPECTRA = {name: RNG.uniform(1, 9, (5, 5)) * scale for name, scale in [("a", 1), ("b", 1e-6)]}


def pictures(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for axes in figure.axes for image in axes.images]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def panels() -> list[GradientPanel]:
    return [
        GradientPanel(name, spectrum, number + 0.126, RNG.normal(size=(3, 8, 8)))
        for number, (name, spectrum) in enumerate(SPECTRA.items())
    ]


def test_letters_that_the_usual_font_lacks(tmp_path, monkeypatch, caplog, recwarn):
    def drawn() -> bytes:
        plot_style._families_for.cache_clear()
        return svg(shares_figure({"gr\u00fcn \u732b": [0.5, 0.5]}, size=8))

    fonts = font_manager.fontManager
    usual = [entry for entry in fonts.ttflist if entry.name.startswith("DejaVu")]
    monkeypatch.setattr(fonts, "ttflist", usual)
    boxes = drawn()
    assert [record.message for record in caplog.records] == [
        "No installed font has \u732b, so figures show boxes instead. Install one, such as Noto "
        "Sans CJK."
    ]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder([".notdef", "cat"])
    font.setupCharacterMap({0x732B: "cat"})
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    pen.lineTo((700, 0))
    pen.lineTo((0, 700))
    pen.closePath()
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "cat": pen.glyph()})
    font.setupHorizontalMetrics({".notdef": (500, 0), "cat": (800, 0)})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": "Cats", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "cats.ttf")
    fonts.addfont(tmp_path / "cats.ttf")
    assert plot_style._families_for.__wrapped__(frozenset("\u732b")) == ["Cats"]
    assert drawn() != boxes
    assert len(caplog.records) == 1
    assert not [each for each in recwarn if "Glyph" in str(each.message)]


@pytest.mark.parametrize("level", [0, 1])
def test_flat_spectra_are_drawn(level):
    """A model that answers alike everywhere has no gradient."""
    flat = np.full((5, 5), level)
    assert png(gradient_figure([GradientPanel("flat", flat, 1.8, np.zeros((3, 8, 8)))]))
    assert png(spectra_figure({"J": {"flat": flat, "a": SPECTRA["a"]}}))
    assert png(spectra_figure({"J": {"flat": flat}}))


def test_gradient_figure_shows_spectra_on_one_logarithmic_scale():
    figure = gradient_figure(panels())
    first, second, below, _ = [axes.images[0] for axes in figure.axes if axes.images]
    for image, spectrum in [(first, SPECTRA["a"]), (second, SPECTRA["b"])]:
        assert np.allclose(np.asarray(image.get_array()), spectrum / spectrum.mean())
    assert isinstance(first.norm, LogNorm)
    assert (first.norm.vmin, first.norm.vmax) == (second.norm.vmin, second.norm.vmax)
    low, high = below.get_clim()
    assert low == -high < 0
    assert titles(figure) == ["a\nlog $B_{low}$ = 0.13", "b\nlog $B_{low}$ = 1.13"]


def test_gradient_figure_with_the_image_itself():
    image = RNG.uniform(size=(3, 8, 8))
    figure = gradient_figure(panels(), image=image)
    assert any(
        shown.shape == (8, 8, 3) and np.allclose(shown, image.transpose(1, 2, 0))
        for shown in pictures(figure)
    )


def test_all_zero_gradient_can_be_drawn():
    dead = GradientPanel("dead", np.ones((5, 5)), 2.3, np.zeros((3, 8, 8)))
    assert png(gradient_figure([dead]))


def test_colour_scale_spans_three_decades_at_most():
    steep = np.geomspace(1, 1e-9, 25).reshape(5, 5)
    norm = spectra_figure({"J": {"x": steep}}).axes[0].images[0].norm
    relative = np.array([1e-9, 1e-3, 10**-1.5, 1.0]) / steep.mean()
    assert np.allclose(np.asarray(norm(relative)), [0, 0, 0.5, 1])


def test_spectra_figure_lays_out_rows_and_columns():
    figure = spectra_figure(
        {"images": {"SVHN": SPECTRA["a"], "CIFAR-10": SPECTRA["b"]}, "J": {"CIFAR-10": np.eye(5)}}
    )
    assert titles(figure) == ["SVHN", "CIFAR-10"]
    assert len(pictures(figure)) == 3
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert [label.startswith(("images\n", "J\n")) for label in labels].count(True) == 2


def test_spectra_figure_labels_panels_and_no_empty_cells():
    figure = spectra_figure({"images": {"photos": SPECTRA["a"]}, "J": {"mine": SPECTRA["b"]}})
    labelled = [(a.get_title(), a.get_ylabel().split("\n")[0]) for a in figure.axes if a.images]
    assert labelled == [("photos", "images"), ("mine", "J")]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (5, 7)])
def test_heat_map_figure_puts_the_constant_at_zero(height: int, width: int):
    errors = np.zeros((height, width))
    errors[height // 2, width // 2] = 1
    image = heat_map_figure({"model": errors}).axes[0].images[0]
    left, right, bottom, top = image.get_extent()
    assert left + width // 2 + 0.5 == 0
    assert top + height // 2 + 0.5 == 0
    assert (right - left, bottom - top) == (width, height)
    assert np.array_equal(np.asarray(image.norm(np.array([0, 100]))), [0, 1])
    assert np.asarray(image.get_array()).max() == 100
    assert isinstance(image.norm, Normalize)


def test_shares_figure_has_a_line_a_model_and_the_bands_of_the_penalty():
    shares = {"standard": np.full(23, 1 / 23), "low": np.eye(23)[1]}
    (axes,) = shares_figure(shares, size=32).axes
    standard, low, *edges = axes.get_lines()
    assert [line.get_label() for line in (standard, low)] == ["standard", "low"]
    radii, percent = (np.asarray(data) for data in low.get_data())
    assert np.array_equal(radii, np.arange(1, 24))
    assert percent.max() == 100
    assert percent.argmax() == 1
    starts = [np.asarray(edge.get_xdata())[0] for edge in edges]
    assert starts == pytest.approx([0, 16 / 3, 32 / 3])
    assert [text.get_text() for text in axes.texts] == ["low", "middle", "high"]
    assert standard.get_linestyle() != low.get_linestyle()


NAMES = ["gaussian_noise", "shot_noise", "fog", "frost", "jpeg_compression"]
CATEGORIES = ["noise", "noise", "weather", "weather", "digital"]
BIAS = np.array([3.6, 3.7, 12.9, 10.6, 6.5])


def test_tradeoff_figure_has_a_panel_a_method_and_a_marker_a_category():
    changes = {"JaFR": 8 - BIAS, "JaFR(−)": BIAS**2}
    figure = tradeoff_figure(NAMES, BIAS, changes, categories=CATEGORIES)
    assert titles(figure) == ["JaFR: rank correlation -1.00", "JaFR(−): rank correlation +1.00"]
    for axes, change in zip(figure.axes, changes.values(), strict=True):
        drawn = [points.get_offsets() for points in axes.collections]
        assert np.allclose(np.concatenate(drawn), np.stack([BIAS, change], 1))
        assert [points.get_label() for points in axes.collections] == [
            "noise",
            "weather",
            "digital",
        ]
        assert axes.texts[0].get_text() == "gaussian noise"


def test_names_in_the_tradeoff_figure_do_not_cover_each_other():
    bias, change = np.tile(BIAS, 3), np.repeat([0.0, 0.9, 10.0], 5)
    figure = tradeoff_figure(NAMES * 3, bias, {"x": change}, categories=CATEGORIES * 3)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    clashes = [
        (one, other) for one in boxes for other in boxes if one is not other and one.overlaps(other)
    ]
    assert not clashes


def test_robustness_figure_counts_radii_in_255ths_and_accuracy_in_percent():
    eps = np.array([0, 8, 16]) / 255
    accuracy = {"standard": [0.9, 0.0, 0.0], "PGD AT": [0.8, 0.5, 0.2]}
    figure = robustness_figure(eps, accuracy, loss={"PGD AT": [0.5, 1.0, 2.0]}, trained_eps=8 / 255)
    left, right = figure.axes
    assert np.allclose(left.lines[0].get_xdata(), [0, 8, 16])
    assert np.allclose(left.lines[1].get_ydata(), [80, 50, 20])
    assert np.allclose(left.lines[2].get_xdata(), [8, 8])
    assert np.allclose(right.lines[0].get_ydata(), [0.5, 1, 2])
    assert len(robustness_figure(eps, accuracy).axes) == 1


def test_lines_differ_without_colour():
    styles = [style for style, _ in zip(line_styles(), range(12), strict=False)]
    shapes = {(style["marker"], str(style["linestyle"])) for style in styles}
    assert len(shapes) == 12


def test_colours_of_maps_rise_in_brightness():
    red, green, blue = colormaps[MAP_COLOURS](np.linspace(0, 1, 64))[:, :3].T
    brightness = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert (np.diff(brightness) > 0).all()


def test_png_is_a_picture_and_repeats():
    first, second = (png(spectra_figure({"J": SPECTRA})) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).size[0] > 300


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_spearmans(ties: bool):
    first, second = RNG.integers(0, 5 if ties else 10**6, (2, 19))
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second)[0])


def test_rank_correlation_of_a_constant_is_undefined():
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


def test_drawing_needs_neither_pyplot_nor_a_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    with imported_anew("freqreg.evaluation.plots", missing="matplotlib.pyplot"):
        plots = importlib.import_module("freqreg.evaluation.plots")
        assert plots.png(plots.heat_map_figure({"x": [[0.0, 1.0], [1.0, 0.0]]}))


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(ImportError, match=r"freqreg\[eval\]"):
        importlib.reload(plot_style)
