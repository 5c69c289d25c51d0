"""What `freqreg.evaluation` exports, and what it says without its extra."""

import subprocess
import sys

import pytest

from freqreg import evaluation
from tests.docs.blocks import ROOT

WITHOUT = """
import sys
sys.modules["{package}"] = None
import freqreg
try:
    import freqreg.evaluation
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("name", evaluation.__all__)
def test_a_public_name_is_in_the_reference(name: str) -> None:
    page = (ROOT / "docs" / "api" / "evaluation.md").read_text()
    assert f"\n::: freqreg.evaluation.{name}\n" in page
    assert getattr(evaluation, name).__doc__


@pytest.mark.parametrize("package", ["tqdm", "PIL", "numpy"])
def test_a_missing_package_is_an_error_that_names_the_extra(package: str) -> None:
    code = [sys.executable, "-c", WITHOUT.format(package=package)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    assert 'pip install "freqreg[eval]"' in done.stdout
