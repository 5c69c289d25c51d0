"""The pages about the mini study are what their program writes."""

import json
import re
from pathlib import Path

import pytest
from study.mini.claims.cost import FILE, METHODS
from study.mini.results import read
from study.mini.verdict import Claim, Verdict
from study.mini.write_page import RESULTS, ROOT, Arguments, claims, in_a_sentence, main

DOCS = ROOT / "docs"


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
    for table in (Path("snippets", "steering.md"), Path("snippets", "single-step.md")):
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
    assert list(found) == list("abcdefghijkl")
    assert {part.outcome for claim in found.values() for part in claim.parts} == {"undecided"}
    assert "0 of 6 cells are there" in page
    assert "<br>no model" not in page
    assert "Of 12 claims 12 are undecided (a, b, c, d, e, f, g, h, i, j, k, l).\n" in page


def test_a_page_with_costs_names_their_machine(tmp_path: Path) -> None:
    ratios = dict.fromkeys(METHODS, 1.5)
    content = {"settings": {"width": 64}, "machine": "2 cores", "ratios": ratios}
    (tmp_path / FILE).write_text(json.dumps(content | {"flop_limits": ratios}))
    page = written(tmp_path, tmp_path)
    assert "width 64; 2 cores." in page
    assert "all 5 steps" in page


def test_the_page_begins_with_the_count_of_outcomes() -> None:
    one, other = Claim((Verdict("", "holds", ""),)), Claim((Verdict("", "does not hold", ""),))
    assert in_a_sentence({"a": one}) == "Of 1 claims 1 holds (a)."
    assert in_a_sentence({"a": one, "b": other, "c": other}) == (
        "Of 3 claims 1 holds (a) and 2 do not hold (b, c)."
    )


@pytest.mark.parametrize("letter", "abcdefghijkl")
def test_each_claim_tells_how_its_images_were_coded(letter: str) -> None:
    text = "\n".join(pages(DOCS).values()) + "\n## "
    (chapter,) = re.findall(rf"^## \({letter}\).*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert "coded as JPEG" in chapter


def test_every_cell_that_is_there_is_named() -> None:
    page = "\n".join(pages(DOCS).values())
    for path in RESULTS.glob("stage*/*.json"):
        name = re.sub(r"-seed\d+$", "-seedN", path.stem)
        assert f"`{path.parent.name}/{name}.json`" in page or path.name in page


def test_the_summary_links_to_each_claims_figures() -> None:
    links = re.findall(r"^\| \[\((\w)\)\]\((\S+?)#(\S+)\)", pages(DOCS)["results.md"], re.MULTILINE)
    assert [letter for letter, _, _ in links] == list("abcdefghijkl")
    for letter, page, anchor in links:
        assert anchor == f"{letter}-figures"
        assert f"### ({letter}) figures" in pages(DOCS)[page]
