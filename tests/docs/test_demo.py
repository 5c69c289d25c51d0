"""What README says of the demo is what the demo measured."""

import json
from typing import Any

import photos
from recipe.results.comparison import HEAD, Model

from freqreg.evaluation.report.rendering import markdown_table
from tests.docs.blocks import ROOT

PICTURE = ROOT / "docs" / "images" / "demo.png"
FOUND: dict[str, Any] = json.loads(PICTURE.with_suffix(".json").read_text())


def test_the_figures_are_those_of_the_demo_as_it_is() -> None:
    arguments = photos.Arguments()
    assert (FOUND["seed"], [m["method"] for m in FOUND["models"]]) == (
        arguments.seed,
        list(arguments.methods),
    )
    now = photos.EXPERIMENT.settings("jafr", "mini").values()
    then = {name: value for name, value in FOUND["settings"].items() if name in now}
    assert then.items() <= now.items(), f"Run: python recipes/photos.py --figure {PICTURE}"


def test_the_readme_has_the_table() -> None:
    head = [name.replace("\n", " ") for name in HEAD[:-1]]  # seconds are of one machine
    table = markdown_table(head, (Model(**model).row()[:-1] for model in FOUND["models"]))
    assert table in (ROOT / "README.md").read_text(), f"README.md needs:\n{table}"


def test_the_readme_tells_the_effect() -> None:
    """Accuracy without a penalty, and with FourierSensitivity for high frequencies."""
    found = {model["method"]: model["accuracies"] for model in FOUND["models"]}
    readme = " ".join((ROOT / "README.md").read_text().split())
    for images in found["standard"]:
        if images != "PGD":
            then, now = (100 * found[method][images] for method in ("standard", "fourier-high"))
            assert f"from {then:.1f} to {now:.1f} %" in readme
