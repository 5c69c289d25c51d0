"""What `freqreg.evaluation` exports, and what it says without its extra."""

from importlib import import_module

import pytest

from freqreg import evaluation
from tests.docs.blocks import ROOT
from tests.fresh_imports import imported_anew


@pytest.mark.parametrize("name", evaluation.__all__)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    page = (ROOT / "docs" / "api" / "evaluation.md").read_text()
    assert f"\n::: freqreg.evaluation.{name}\n" in page
    assert getattr(evaluation, name).__doc__


@pytest.mark.parametrize("package", ["tqdm", "PIL", "numpy"])
def test_a_missing_package_is_an_error_that_names_the_extra(package: str) -> None:
    with (
        imported_anew("freqreg.evaluation", missing=package),
        pytest.raises(ImportError, match=r'pip install "freqreg\[eval\]"'),
    ):
        import_module("freqreg.evaluation")
