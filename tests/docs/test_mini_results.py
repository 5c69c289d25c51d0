"""The pages about the mini study are what their program writes."""

import json
import re
from pathlib import Path

import pytest
from study.mini.claims.cost import FILE, METHODS
from study.mini.results import read
from study.mini.runs import cells
from study.mini.verdict import Claim, Verdict
from study.mini.write_page import RESULTS, ROOT, Arguments, claims, in_a_sentence, main

from tests.recipes.synthetic_cells import MODEL, Scores, under_corruptions, write

DOCS = ROOT / "docs"
JUDGED = ("abcdefghijklmn", "acdhijkmn")
"""Letters of the claims in the short study and in fine-tuning."""
NOT_RUN = "**Not run yet.** `python recipes/study mini --stage {} --data-dir DIR` runs"
SHARES = {"fourier_sensitivity": {"low": 0.2, "middle": 0.3, "high": 0.5}}
SCORES: Scores = {**under_corruptions([0.5] * 19), **SHARES}
LOWER: Scores = {**under_corruptions([0.4] * 19), **SHARES}


def pages(docs: Path) -> dict[str, str]:
    """Text by the page's path below docs/."""
    found = [docs / "results.md", *sorted((docs / "results").glob("*.md"))]
    return {page.relative_to(docs).as_posix(): page.read_text() for page in found}


def written(results: Path, docs: Path) -> str:
    """All pages, one after another."""
    main(Arguments(results, docs))
    return "\n".join(pages(docs).values())


def shown_in(figure: Path) -> str:
    """Digest of what a figure shows; its bytes depend on the version of matplotlib."""
    (digest,) = re.findall(r"<dc:identifier>(\w{16})</dc:identifier>", figure.read_text())
    return digest


def test_the_page_and_its_figures_are_written_from_the_cells(tmp_path: Path) -> None:
    written(RESULTS, tmp_path)
    assert pages(DOCS) == pages(tmp_path), "Run: python recipes/study page"
    for name in ("steering", "targets", "single-step", "controls", "fine-tuning"):
        table = Path("snippets", f"{name}.md")
        assert (DOCS / table).read_text() == (tmp_path / table).read_text()
    figures = re.findall(r"\]\(\.\./(images/\S+)\)", "".join(pages(DOCS).values()))
    assert figures
    for figure in figures:
        kept, now = shown_in(DOCS / figure), shown_in(tmp_path / figure)
        assert kept == now, f"{figure} shows other cells. Run: python recipes/study page"


def test_without_cells_everything_is_undecided(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    page = written(tmp_path / "none", tmp_path)
    found = claims(read(tmp_path / "none"), tmp_path / "none")
    assert [list(of_regime) for of_regime in found.values()] == [
        list(letters) for letters in JUDGED
    ]
    parts = [part for all in found.values() for claim in all.values() for part in claim.parts]
    assert {part.outcome for part in parts} == {"undecided"}
    assert "0 of 6 cells are there" in page
    assert "<br>no model" not in page
    for stage, name in ((6, "fine-tuning"), (7, "controls")):
        assert NOT_RUN.format(stage) in pages(tmp_path)[f"results/{name}.md"]
    page = " ".join(page.split())
    assert f"Short study: of 14 claims 14 are undecided ({', '.join(JUDGED[0])})." in page
    assert "Fine-tuning: of 9 claims 9 are undecided (a, c, d, h, i, j, k, m, n)." in page


def test_a_page_with_costs_names_their_machine(tmp_path: Path) -> None:
    ratios = dict.fromkeys(METHODS, 1.5)
    content = {"settings": {"width": 64}, "machine": "2 cores", "ratios": ratios}
    (tmp_path / FILE).write_text(json.dumps(content | {"flop_limits": ratios}))
    page = written(tmp_path, tmp_path)
    assert "width 64; 2 cores." in page
    assert "all 5 steps" in page


def test_the_page_begins_with_the_count_of_outcomes() -> None:
    one, other = Claim((Verdict("", "holds", ""),)), Claim((Verdict("", "does not hold", ""),))
    assert in_a_sentence("fine-tuning", {"a": one}) == "Fine-tuning: of 1 claims 1 holds (a)."
    assert in_a_sentence("short study", {"a": one, "b": other, "c": other}) == (
        "Short study: of 3 claims 1 holds (a) and 2 do not hold (b, c)."
    )


@pytest.mark.parametrize("letter", JUDGED[0])
def test_each_claim_tells_how_its_images_were_coded(letter: str) -> None:
    text = "\n".join(pages(DOCS).values()) + "\n## "
    chapters = re.findall(rf"^## \({letter}\).*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert len(chapters) == sum(letter in letters for letters in JUDGED)
    assert all("coded as JPEG" in chapter for chapter in chapters)


def test_every_cell_that_is_there_is_named() -> None:
    page = "\n".join(pages(DOCS).values())
    for path in RESULTS.glob("stage*/*.json"):
        name = re.sub(r"-seed\d+$", "-seedN", path.stem)
        assert f"`{path.parent.name}/{name}.json`" in page or path.name in page


def test_the_summary_links_to_each_claims_figures() -> None:
    rows = re.findall(r"^\| \((\w)\) \|.*", pages(DOCS)["results.md"], re.MULTILINE)
    assert rows == list(JUDGED[0])
    links = re.findall(r"\]\((results/\S+?)#(\w)-figures\)", pages(DOCS)["results.md"])
    assert sorted(letter for _, letter in links) == sorted("".join(JUDGED))
    for page, letter in links:
        assert f"### ({letter}) figures" in pages(DOCS)[page]


def test_a_claim_of_both_regimes_shows_both_outcomes_and_figures(tmp_path: Path) -> None:
    for cell in cells(6):
        low = cell.method == "fourier-low" and "noise_std" not in cell.changes
        write(tmp_path, cell, MODEL, LOWER if low else SCORES)
    written(tmp_path, tmp_path)
    page = pages(tmp_path)["results.md"]
    (row,) = re.findall(r"^\| \(m\) \|.*", page, re.MULTILINE)
    assert "[**undecided**](results/controls.md#m-figures)" in row
    assert "[**holds**](results/fine-tuning.md#m-figures)" in row
    assert "fine-tuning: Accuracy under noise and blur is higher" in row
    assert page.splitlines()[2].startswith("Fine-tuning: noise augmentation gains more under")
    details = pages(tmp_path)["results/fine-tuning.md"]
    assert "](../images/fine-bands.svg)" in details
    assert "Not run yet" not in details
    assert NOT_RUN.format(7) in pages(tmp_path)["results/controls.md"]
