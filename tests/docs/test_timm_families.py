"""The page about timm's families is what its program writes."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.timm_page import cause, compact, outcome, page

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_written_from_its_measurements() -> None:
    sweep = json.loads((DOCS / "timm-families.json").read_text())
    assert (DOCS / "timm-families.md").read_text() == page(sweep)


def test_a_cause_names_the_modules_that_stand_in_the_way() -> None:
    error = "SecondDerivativeError: a.0 (Gate), a.1 (Gate): no second derivative. Do this."
    assert cause(error) == "SecondDerivativeError: Gate"


def test_a_family_that_cannot_be_built_keeps_its_cause() -> None:
    kept = compact({"family": "x", "model": "x_s", "error": "RuntimeError: no size. At all."})
    assert kept == {"family": "x", "model": "x_s", "error": "RuntimeError: no size"}


def test_a_gradient_that_is_not_finite_does_not_pass() -> None:
    way = {"error": None, "share": float("nan"), "cost": {"seconds": 1.0, "bytes": 1}}
    assert outcome(way) == "the penalty's gradient is not finite"
    assert outcome(way | {"share": 0.5}) == [1.0, pytest.approx(2**-20, rel=1e-2)]
