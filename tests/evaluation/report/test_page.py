"""The page as a whole, and the command that writes it."""

import json
import re
import shutil
from base64 import b64decode
from contextlib import redirect_stdout
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from freqreg.cli import main
from freqreg.evaluation.inputs.models import build_network
from freqreg.evaluation.report.blocks import (
    Chapter,
    Page,
    Picture,
    Section,
    Table,
    TableCell,
)
from freqreg.evaluation.report.page import build, write_report
from freqreg.evaluation.report.portrait import portrait_file
from freqreg.evaluation.report.rendering import as_html, as_markdown, figures_of
from freqreg.evaluation.report.runs import read_runs
from freqreg.evaluation.results.heat_maps import HeatMap
from freqreg.evaluation.results.records import Entry, ModelScores, RecordError
from tests.evaluation.report.reported import save_run, scores_of_the_paper, without_shares

VOID = {"meta", "img", "br"}
KWARGS = {"num_classes": 4, "width": 4}


class Outline(HTMLParser):
    """What a page holds: its elements, properly nested, and what they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.tags, self.references, self.ids, self.alts = [], [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open += [] if tag in VOID else [tag]
        self.references += [value for name, value in attrs if name in ("src", "href")]
        self.ids += [value for name, value in attrs if name == "id"]
        self.alts += [value for name, value in attrs if name == "alt"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All that a report can show, of three methods and two data sets."""
    folder = tmp_path_factory.mktemp("runs")
    curve = {"accuracy at 0.000000": 0.9, "accuracy at 0.500000": 0.0}
    losses = {"loss at 0.000000": 0.1, "loss at 0.500000": 2.0}
    rest = {
        "log_b_low": {"one quadrant": 5.0, "flipped": 4.0, "both quadrants": 4.5},
        "fourier_sensitivity": {"low": 0.125, "middle": 0.25, "high": 0.625},
        "curve": curve | losses,
        "noise": {"low": 0.5, "high": 0.6, "sign": 0.7},
    }
    for method in ("standard", "jafr", "fgsm"):
        for seed in range(2):
            scores = scores_of_the_paper(method, off=0.001 * seed) | rest
            save_run(folder, method, seed, scores=scores, portrait=seed == 1)
    save_run(folder, "standard", 0, dataset="photos", preset="mini", portrait=True)
    return read_runs([folder / "evaluations"])


@pytest.fixture(scope="module")
def report(runs, tmp_path_factory):
    """The folder that they are reported in."""
    folder = tmp_path_factory.mktemp("report")
    return folder, write_report(runs, folder)


@pytest.fixture(scope="module")
def page(report):
    return report[1]


def titles(page: Page) -> dict[str, list[str]]:
    return {chapter.title: [s.title for s in chapter.sections] for chapter in page.chapters}


def test_a_chapter_for_each_data_set_with_the_paper_s_tables(page):
    assert titles(page) == {
        "CIFAR-10, preset paper": [
            "Under attack (Table 4)",
            "Frequencies of the input gradients (Table 2)",
            "Under corruptions (Table 1)",
            "Low against high frequencies",
            "Against ε",
            "Calibration and noise",
            "Every seed",
            "How it was measured",
        ],
        "photos, preset mini": [
            "Under attack",
            "Frequencies of the input gradients",
            "Every seed",
            "How it was measured",
        ],
        "Data sets together": ["Data and gradients (Figure 1)", "The paper"],
    }


def test_presets_are_apart_and_a_smaller_one_is_no_reproduction(tmp_path):
    save_run(tmp_path, "jafr", 0, preset="paper")
    save_run(tmp_path, "jafr", 0, preset="mini")
    page = build(read_runs([tmp_path]))
    mini, paper, _ = page.chapters
    assert [mini.title, paper.title] == ["CIFAR-10, preset mini", "CIFAR-10, preset paper"]
    assert "not of the paper's experiment" in str(mini.sections[0])
    assert "not of the paper's experiment" not in str(paper.sections[0])
    run, *_ = (tmp_path / "runs").glob("*paper*")
    config = json.loads((run / "config.json").read_text())
    sources = {"epochs": "command line", "momentum": "paper"}
    (run / "config.json").write_text(json.dumps(config | {"sources": sources}))
    _, paper, _ = build(read_runs([tmp_path])).chapters
    assert "preset paper, some with another epochs, not of the" in str(paper.sections[0])


def test_a_report_on_other_data_does_not_speak_of_the_paper_s_tables(tmp_path):
    save_run(tmp_path, "jafr", 0, dataset="photos")
    (chapter,) = build(read_runs([tmp_path])).chapters
    assert "misprints" not in str(chapter)


def test_the_page_needs_nothing_but_itself(report):
    text = (report[0] / "report.html").read_text()
    outline = Outline(text)
    assert outline.tags.count("img") == 5 + 2
    assert not {"script", "link", "iframe", "object"} & set(outline.tags)
    for reference in outline.references:
        assert reference.startswith(("data:image/svg+xml;base64,", "#"))
    assert "url(" not in text
    links = [reference[1:] for reference in outline.references if reference.startswith("#")]
    assert links == outline.ids
    assert len(set(outline.ids)) == len(outline.ids)


def test_pictures_are_whole_svg_files(page):
    found = re.findall(r"svg\+xml;base64,([^\"]*)", as_html(page))
    for picture in map(b64decode, found):
        assert picture.startswith(b"<?xml")
        assert picture.rstrip().endswith(b"</svg>")


def test_the_same_runs_give_the_same_bytes(runs, report, tmp_path):
    first, _ = report
    write_report(runs, tmp_path)
    files = [path.relative_to(first) for path in first.rglob("*.*")]
    assert len(files) == 2 + 7
    for file in files:
        assert (first / file).read_bytes() == (tmp_path / file).read_bytes()


def test_markdown_refers_to_files_that_are_there(report):
    folder, page = report
    text = (folder / "report.md").read_text()
    named = re.findall(r"\]\((.*?)\)", text)
    assert named == [f"figures/{picture.name}.svg" for picture in figures_of(page)]
    assert [Path(name).stem for name in named] == [
        "cifar-10-preset-paper-gradients",
        "cifar-10-preset-paper-shares",
        "cifar-10-preset-paper-tradeoff-1",  # JaFR, standard being what both are compared with
        "cifar-10-preset-paper-tradeoff-2",  # FGSM AT
        "cifar-10-preset-paper-robustness",
        "photos-preset-mini-gradients",
        "spectra",
    ]
    assert all((folder / name).is_file() for name in named)


def test_both_forms_have_every_number(runs, page):
    forms = as_html(page), as_markdown(page, figures="figures")
    for form in forms:
        for run in runs:
            assert f"{100 * run.record.scores['clean'].values['accuracy']:.2f}" in form
        assert "134.37†" in form


def _page(*blocks) -> Page:
    return Page("a & b", ("lead",), (Chapter("one", (Section("two", blocks),)),))


def test_html_escapes_what_it_is_given():
    page = _page("1 < 2 & log B_low", ("<b>", "c"), Picture("p", b"<svg/>", 'a "b"'))
    text = as_html(page)
    assert Outline(text).alts == ['a "b"']
    assert "<title>a &amp; b</title>" in text
    assert "1 &lt; 2 &amp; log <i>B</i><sub>low</sub>" in text
    assert "<ul><li>&lt;b&gt;</li><li>c</li></ul>" in text


def test_cells_in_html():
    full = TableCell("90", aside="−1", below="paper 91", share=0.9, mark=0.91, is_strong=True)
    text = as_html(_page(Table(("", "x"), ((TableCell("band"),), (TableCell("row"), full)))))
    assert '<tr class="band"><th colspan="2">band</th></tr>' in text
    assert (
        '<td><strong>90</strong> <em>−1</em><span class="bar"><i style="width:90.0%"></i>'
        '<b style="left:91.0%"></b></span><small>paper 91</small></td>'
    ) in text


def test_tables_in_markdown():
    full = TableCell("9|0", aside="−1", below="paper 91", is_strong=True)
    text = as_markdown(
        _page(Table(("", "x"), ((TableCell("band"),), (TableCell("row"), full)))), figures="f"
    )
    assert text == (
        "# a & b\n\nlead\n\n## one\n\n### two\n\n"
        "|  | x |\n| --- | --- |\n| **band** |  |\n| row | **9¦0** (−1)<br>paper 91 |\n"
    )


def test_texts_lists_and_pictures_in_markdown():
    page = _page("1 < 2 & 3", ("one", "two"), Picture("p", b"<svg/>", 'a "b"'))
    assert as_markdown(page, figures="f").endswith(
        '### two\n\n1 < 2 & 3\n\n- one\n- two\n\n![a "b"](f/p.svg)\n'
    )


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """Two tiny models that were evaluated, and their test set."""
    folder = tmp_path_factory.mktemp("evaluated")
    for seed, method in enumerate(("standard", "jafr")):
        (folder / method).mkdir()
        save_file(network(seed).state_dict(), folder / method / "model.safetensors")
        config = {"model": "preact_resnet18", "kwargs": KWARGS, "method": method, "seed": 0}
        (folder / method / "config.json").write_text(json.dumps(config))
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8)
    save_file({"pixels": images, "labels": torch.arange(40) % 4}, folder / "test.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["evaluate", "standard", "jafr", "--data", "test.safetensors", "--preset", "smoke"])
    return folder


@pytest.fixture(scope="module")
def printed(evaluations, tmp_path_factory):
    """A copy with a report, and what its command printed."""
    folder = tmp_path_factory.mktemp("reported") / "here"
    shutil.copytree(evaluations, folder)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as output:
        patch.chdir(folder)
        main(["report", "evaluations", "--data", "test.safetensors"])
    return folder, output.getvalue()


@pytest.fixture
def evaluated(evaluations, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(evaluations, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def reported(printed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(printed[0], tmp_path, dirs_exist_ok=True)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network("preact_resnet18", **KWARGS)


def test_evaluate_and_report_from_a_line_each(printed):
    folder, output = printed
    assert "2 models: report/report.html and report/report.md" in output
    page = (folder / "report" / "report.html").read_text()
    record = json.loads((folder / "evaluations" / "jafr.json").read_text())
    assert f"{record['scores']['log_b_low']['values']['one quadrant']:.2f}" in page
    assert Outline(page).tags.count("img") == 3


def test_portraits_are_measured_once(reported):
    kept = portrait_file(reported / "evaluations" / "jafr.json")
    first = kept.read_bytes()
    (reported / "test.safetensors").unlink()
    main(["report", "evaluations", "--data", "test.safetensors", "--output-dir", "again"])
    assert kept.read_bytes() == first
    again = (reported / "again" / "report.html").read_text()
    assert again == (reported / "report" / "report.html").read_text()


def profile(*options: str) -> None:
    data = ("--data", "test.safetensors", "--images", "4", "--image-size", "6")
    main(["profile", "standard", "jafr", *data, "--heat-map", *options])


def heat_maps(*places: str) -> dict[str, str]:
    """The pictures of heat maps in a report on these places, by name."""
    page = build(read_runs([Path("evaluations"), *map(Path, places)]))
    return {p.name: p.svg.decode() for p in figures_of(page) if "heat-maps" in p.name}


def test_heat_maps_that_profile_left_stand_in_the_report(evaluated):
    profile()
    main(["report", "evaluations", "profiles"])
    (picture,) = heat_maps("profiles").values()
    assert all(f"<!-- {label} -->" in picture for label in ("standard", "JaFR"))
    text = (evaluated / "report" / "report.md").read_text()
    assert text.count("4 images of test.safetensors, L2 norm 4, seed 0.\n\n![Error rate") == 1
    assert not heat_maps()


def test_heat_maps_of_other_noise_do_not_stand_on_one_scale(evaluated):
    profile("--output-dir", "weak", "--heat-map-norm", "1")
    entries = json.loads((evaluated / "weak" / "heat-maps.json").read_text())
    entries[0]["about"] |= {"data": "others"}
    (evaluated / "weak" / "heat-maps.json").write_text(json.dumps(entries))
    first, second = heat_maps("weak").values()
    assert ("<!-- standard -->" in first, "<!-- JaFR -->" in first) == (True, False)
    assert ("<!-- standard -->" in second, "<!-- JaFR -->" in second) == (False, True)


@pytest.mark.parametrize("change", [{"weights": "x"}, {"kwargs": {"width": 8}}, {"answers": "x"}])
def test_a_heat_map_is_of_a_model_with_its_weights_arguments_and_answers(change):
    about = {"weights": "w", "kwargs": {"width": 4}, "answers": "a", "data": "d", "images": 3}
    found = HeatMap({**about, "model": "m"}, "d", "data", 4.0, 0, [[0.5]])
    assert found.is_of(about)
    assert found.is_of({})
    assert not found.is_of({**about, **change})
    assert found.is_of({**about, **change, "data": "others"}) == ("answers" in change)


@pytest.mark.parametrize("content", ["[1]", "{", "{}x", '[{"norm": 1}]', '{"model": "m"}'])
def test_heat_maps_of_others_are_refused(tmp_path, content):
    save_run(tmp_path, "jafr", 0)
    (tmp_path / "heat-maps.json").write_text(content)
    with pytest.raises(RecordError, match="no heat maps as freqreg profile writes them"):
        read_runs([tmp_path])


def test_heat_maps_of_other_weights_are_left_out(evaluated):
    save_file(network(2).state_dict(), evaluated / "jafr" / "model.safetensors")
    profile()
    (picture,) = heat_maps("profiles").values()
    assert ("<!-- standard -->" in picture, "<!-- JaFR -->" in picture) == (True, False)


def test_runs_without_the_score_have_no_part_of_shares(runs):
    page = build([run for run in runs if run.dataset == "photos"])
    assert all(run.portrait.shares is not None for run in runs if run.portrait)
    text = as_markdown(page, figures="figures")
    assert "shares" not in text
    assert "radii" not in text


def test_shares_stand_in_picture_table_and_conditions(page):
    text = as_markdown(page, figures="figures")
    assert text.count("Low, middle and high radii") == 1
    assert "| low radii | middle radii | high radii |" in text
    assert "12.50 ± 0.00 | 25.00 ± 0.00 | 62.50 ± 0.00 |" in text
    (svg,) = (p.svg.decode() for p in figures_of(page) if p.name.endswith("-shares"))
    for label in ("standard", "JaFR", "FGSM AT"):
        assert f"<!-- {label} -->" in svg


def test_a_portrait_of_before_shares_is_measured_again(reported):
    kept = portrait_file(reported / "evaluations" / "jafr.json")
    first = kept.read_bytes()
    without_shares(kept)
    main(["report", "evaluations", "--output-dir", "old"])
    old = (reported / "old" / "report.md").read_text()
    assert "shares of power by radius: JaFR" in old
    assert "spectra and pictures of J:" not in old
    main(["report", "evaluations", "--data", "test.safetensors", "--output-dir", "again"])
    assert kept.read_bytes() == first
    for name in ("report.md", "report.html"):
        assert (reported / "again" / name).read_text() == (reported / "report" / name).read_text()


def test_weights_that_were_changed_since_are_told(evaluated):
    save_file(network(2).state_dict(), evaluated / "jafr" / "model.safetensors")
    with pytest.raises(SystemExit, match="jafr has other weights now than when it was evaluated"):
        main(["report", "evaluations", "--data", "test.safetensors"])


def test_other_images_than_were_evaluated_are_told(evaluated):
    for options in (("--image-size", "20"), ()):
        if not options:
            images = torch.zeros(40, 3, 16, 16, dtype=torch.uint8)
            save_file({"pixels": images, "labels": torch.arange(40) % 4}, "test.safetensors")
        said = r"was evaluated on other images than --data .*: on test.safetensors, \d+×\d+ pixels"
        with pytest.raises(SystemExit, match=said):
            main(["report", "evaluations", "--data", "test.safetensors", *options])


def test_the_network_of_a_file_of_weights_can_be_named(evaluated, capsys):
    torch.save(network(2).state_dict(), evaluated / "last.pth")
    given = ("--data", "test.safetensors", "--model", "preact_resnet18")
    main(["evaluate", "last.pth", *given, "--preset", "smoke", "--scores", "clean"])
    main(["report", "evaluations", *given])
    assert "3 models: report/report.html" in capsys.readouterr().out


def test_test_sets_are_named_and_told_apart_by_digests_only_if_alike(tmp_path):
    known = {"model": "m", "method": "standard", "training_seed": None, "images": 1000}
    sets = dict.fromkeys("ab", ("x, 32×32 pixels", 1000)) | {"c": ("", 1), "d": ("y", 2)}
    for data, (test_set, count) in sets.items():
        about = known | {"data": data, "weights": data, "images": count}
        scores = {"clean": Entry({"accuracy": 0.5}, {}, {}, 0.0)}
        ModelScores(about, scores, test_set).save(tmp_path / f"{data}.json")
    page = build(read_runs([tmp_path]))
    alike = [f"x, 32×32 pixels (1,000 images), test set {data}" for data in "ab"]
    titles = [*alike, "test set (1 image)", "y (2 images)"]
    assert [chapter.title for chapter in page.chapters] == titles
    assert page.lead[0] == f"4 models by 1 method, on {', '.join(titles)}."


def test_without_data_portraits_are_missing_and_said_so(evaluated):
    main(["report", "evaluations"])
    page = (evaluated / "report" / "report.html").read_text()
    assert "spectra and pictures of J: standard, JaFR" in page
    assert "<img" not in page


def test_images_of_one_data_set_for_runs_on_several_are_refused(tmp_path):
    save_run(tmp_path, "jafr", 0)
    save_run(tmp_path, "jafr", 0, dataset="svhn")
    with pytest.raises(SystemExit, match=r"SettingError: .* runs on CIFAR-10, SVHN"):
        main(["report", str(tmp_path), "--data", "test.safetensors"])


def test_a_place_without_runs_is_an_error_in_plain_words(tmp_path):
    with pytest.raises(SystemExit, match="nothing to report in"):
        main(["report", str(tmp_path)])
