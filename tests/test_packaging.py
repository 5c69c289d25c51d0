"""What is shipped is all that is needed, and no more is needed than is said."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

ONLY_THE_CORE = """
import importlib, sys
import torch, einops, jaxtyping
allowed = {name.partition(".")[0] for name in sys.modules} | {"freqreg"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names:
            raise ImportError(f"the core imported {name}")

sys.meta_path.insert(0, Refuse())
sys.modules["numpy"] = None  # which torch imports where it is installed
"""

THE_PUBLIC_NAMES = """
import freqreg
from freqreg import *
assert JaFR(lambda_freq=1e-3).weight == 1e-3
assert dir(freqreg) == sorted([*freqreg.__all__, "__version__"])
assert freqreg.__version__ == "VERSION"
"""

EVERY_SUBPACKAGE = """
for name in sys.argv[1:]:
    importlib.import_module(name)
print(importlib.import_module("freqreg").__file__)
"""

THE_PROGRAM = """
import runpy
for name in ("results.paper", "report.rendering"):
    print(importlib.import_module(f"freqreg.evaluation.{name}").__file__)
from freqreg.evaluation.report.rendering import as_html
from freqreg.evaluation.report.page import build
as_html(build([]))
sys.argv[1:] = ["--help"]
runpy.run_module("freqreg", run_name="__main__", alter_sys=True)
"""


def subpackages() -> set[str]:
    """Every folder with Python files below freqreg/, integrations/ among them."""
    folders = {path.parent for path in (ROOT / "freqreg").rglob("*.py")}
    folders |= {path.parent for path in (ROOT / "freqreg" / "integrations").rglob("*.py")}
    return {".".join(folder.relative_to(ROOT).parts) for folder in folders}


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(".*", "build", "dist", "site", "runs", "*.egg-info", "tests"),
    )
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), cwd=source)
    (wheel,) = folder.glob("*.whl")
    target = folder / "installed"
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target))
    run(*pip, str(wheel), cwd=folder)
    return target


def test_every_subpackage_is_listed() -> None:
    assert subpackages() == set(PROJECT["tool"]["setuptools"]["packages"])


def test_the_wheel_has_every_file(installed: Path) -> None:
    source = files_in(ROOT / "freqreg")
    source |= {Path("integrations") / path for path in files_in(ROOT / "integrations")}
    assert files_in(installed / "freqreg") == source


def files_in(folder: Path) -> set[Path]:
    """All but what Python compiled, relative to the folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(folder) for path in files}


def test_evaluation_and_the_program_run_from_the_wheel(installed: Path) -> None:
    """Of modules that read files beside them, and of all commands."""
    names = {name for name in subpackages() if name.startswith("freqreg.evaluation")}
    code = isolated(installed) + "import importlib\n" + EVERY_SUBPACKAGE + THE_PROGRAM
    output = run(sys.executable, "-c", code, *names, cwd=installed)
    *places, shown = output.split("\n", maxsplit=3)
    assert all(place.startswith(str(installed)) for place in places)
    assert "usage: freqreg" in shown
    assert "evaluate" in shown


def test_all_but_evaluation_needs_nothing_but_torch_einops_and_jaxtyping(installed: Path) -> None:
    names = {name for name in subpackages() if not name.startswith("freqreg.evaluation")}
    code = (
        isolated(installed)
        + ONLY_THE_CORE
        + THE_PUBLIC_NAMES.replace("VERSION", PROJECT["project"]["version"])
        + EVERY_SUBPACKAGE
    )
    output = run(sys.executable, "-c", code, *names, cwd=installed)
    assert output.strip().startswith(str(installed))


def isolated(installed: Path) -> str:
    """Python that finds freqreg in the folder alone, not the tree that is being tested."""
    return (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        f"sys.path.insert(0, {str(installed)!r})\n"
    )


def test_nobody_imports_integrations_as_a_top_level_package() -> None:
    files = subprocess.run(
        ["git", "grep", "-lE", r"^\s*(from|import) integrations\b", "--", "*.py", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert files.returncode in (0, 1)
    assert files.stdout == ""
