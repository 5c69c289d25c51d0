"""Nothing public is left out of the documentation."""

import inspect
import re

import pytest

import freqreg
from freqreg import errors
from freqreg.differentiation import Differentiation
from freqreg.mixers import Mixer
from freqreg.regularizers import Regularizer
from tests.docs.blocks import ROOT

DOCS = ROOT / "docs"
TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text()
CARDS = sorted(set((DOCS / "methods").glob("*.md")) - {DOCS / "methods" / "index.md"})
SECTIONS = ["What it does", "Equation", "Cost", "When to use it", "Pitfalls", "Source"]
ERRORS = [
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and value is not errors.FreqregError
]


def is_method(name: str) -> bool:
    value = getattr(freqreg, name)
    kinds = Regularizer, Differentiation
    if value in (Regularizer, Mixer):
        return False
    mixes = value.__module__.startswith(Mixer.__module__.rpartition(".")[0])
    return inspect.isclass(value) and (issubclass(value, kinds) or mixes)


METHODS = [name for name in freqreg.__all__ if is_method(name)]


@pytest.mark.parametrize("name", freqreg.__all__)
def test_public_name_is_in_the_reference(name: str) -> None:
    reference = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    assert f"\n::: freqreg.{name}\n" in reference


@pytest.mark.parametrize("name", METHODS)
def test_method_has_a_card(name: str) -> None:
    titles = " ".join(card.read_text().splitlines()[0] for card in CARDS)
    title = {"NFGSM": "N-FGSM"}.get(name, name)
    assert re.search(rf"(?<![\w-]){title}(?![\w-])", titles)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_card_has_every_section(card) -> None:
    assert re.findall(r"^## (.+)$", card.read_text(), re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("name", ERRORS)
def test_error_is_explained(name: str) -> None:
    assert f"\n## {name}\n" in TROUBLESHOOTING


@pytest.mark.parametrize("name", sorted({*ERRORS} - {"DistributedError"}))  # needs processes
def test_error_is_provoked(name: str) -> None:
    assert re.search(rf'title="(raises|warns) {name}"', TROUBLESHOOTING)


def test_every_command_is_in_the_contributors_table() -> None:
    makefile, contributing = ((ROOT / name).read_text() for name in ("Makefile", "CONTRIBUTING.md"))
    commands = re.findall(r"^## make ([\w-]+)", makefile, re.MULTILINE)
    table = re.findall(r"^\| `make ([\w-]+)` \|", contributing, re.MULTILINE)
    assert sorted(table) == sorted(commands)
    assert {"check", "test"} <= set(commands)


def test_methods_and_errors_are_found() -> None:
    assert {"JaFR", "FGSM", "Mix", "DoubleBackprop", "Every"} <= set(METHODS)
    assert {"InputError", "KinkedActivationWarning"} <= set(ERRORS)
