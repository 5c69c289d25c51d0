"""The page of deviations is that of the settings and the stored figures, and leaves nothing out."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from recipe.results.files import Results
from recipe.results.measures import Measures
from recipe.settings.experiment import METHODS, Source
from study.deviations import measure as deviation_effects
from study.deviations.measure import (
    PUBLISHED,
    Scene,
    bias_effects,
    figures,
    selection_effect,
)
from study.deviations.run import EXPERIMENTS, PAGE, REASONS, changed_by, effect_text, page
from tiny_experiment import EXPERIMENT, images, run

from freqreg.networks import OneConvNet

RECORD = json.loads(PAGE.with_suffix(".json").read_text())
_CHAPTERS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S))
CHAPTERS = {e.title: _CHAPTERS["On every data set"] + _CHAPTERS[e.title] for e in EXPERIMENTS}
"""What is said of each data set."""


def test_the_page_is_that_of_the_settings_and_the_stored_figures() -> None:
    assert PAGE.read_text() == page(EXPERIMENTS, RECORD)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_every_setting_that_mini_changes_has_a_reason_and_a_row(experiment) -> None:
    chapters = re.findall(
        r"### Preset mini\n(.*?)(?=^### |\Z)", CHAPTERS[experiment.title], re.M | re.S
    )
    changed = changed_by(experiment, "mini")
    assert set(changed) <= REASONS.keys()
    found = re.findall(r"^\| `(\w+)`", "".join(chapters), re.M)
    assert sorted(found) == sorted(changed)


def test_no_reason_is_left_over() -> None:
    assert {name for e in EXPERIMENTS for name in changed_by(e, "mini")} == REASONS.keys()


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_what_is_our_choice_is_told_with_its_note(experiment) -> None:
    text = CHAPTERS[experiment.title]
    for method in METHODS:
        settings = experiment.settings(method, "paper")
        for name, source in settings.sources().items():
            item = getattr(settings, name)
            row = (
                rf"\| `{name}` \| {re.escape(str(item.value))} \| (.*) \| {re.escape(item.note)} \|"
            )
            told = any(names(methods, method) for methods in re.findall(row, text))
            assert told == (source == Source.OURS)


def names(methods: str, method: str) -> bool:
    """Whether a row's cell of methods means this one."""
    return methods.startswith("all") != (f"`{method}`" in methods)


def test_rows_have_the_published_and_the_own_values() -> None:
    assert "| `width` | 64 | 16 | two cores | not measured |" in CHAPTERS["SVHN"]
    assert "| `max_learning_rate` | 0.2, 0.3 | 0.1 |" in CHAPTERS["CIFAR-10"]
    assert "| λ of FGSM AT + JaFR | 0.002 | 0.001 |" in CHAPTERS["CIFAR-100"]
    assert "λ of FGSM AT" not in CHAPTERS["CIFAR-10"]
    assert "| `limits_stay` | True | False |" in CHAPTERS["CIFAR-10"]
    assert "| iterations of the warm-up | 2,861 | 2,860 |" in CHAPTERS["SVHN"]
    assert "| sorted by class" in CHAPTERS["Tiny ImageNet"]


def test_every_figure_is_shown_and_has_its_seeds() -> None:
    effects = RECORD["effects"]
    reported = {"reported_floor", "reported_alpha_shift"}
    assert effects.keys() == {*PUBLISHED, "attack_select", *reported}
    for effect in (*effects.values(), RECORD["ours"]):
        assert {len(values) for values in effect.values()} == {RECORD["conditions"]["seeds"]}
    for effect in effects.values():
        assert effect_text(effect) in PAGE.read_text()
    clean = RECORD["ours"]["clean"]
    assert f"clean % {min(clean):.2f} to {max(clean):.2f}" in PAGE.read_text()


def test_effects_are_the_published_choice_less_ours() -> None:
    def result(clean: float, bias: float) -> Results:
        return Results("jafr", Measures(clean, 0, 0.5, 0, 0, bias, 0), 0.1, 1, [], {})

    published = figures([result(0.4, 3), result(0.6, 5)])
    found = (published - figures([result(0.5, 1), result(0.5, 6)])).to_dict("list")
    assert found["clean"] == pytest.approx([-10, 10])
    assert found["pgd"] == [0, 0]
    assert found["log_b_low"] == [2, -1]
    assert effect_text({"log_b_low": [2, -1, 2]}) == "log B_low +1.00 (-1.00 to +2.00)"
    assert effect_text({"pgd": [0, 0.002]}) == "PGD % +1e-03 (+0.00 to +2e-03)"


def test_runs_differ_from_ours_in_the_published_choice_alone(tmp_path: Path) -> None:
    scene = Scene(EXPERIMENT, images(), images(), tmp_path)
    ours = scene.run("ours", 0).settings.values()
    for name, changes in PUBLISHED.items():
        (published,) = (item.value for item in changes.values())
        assert scene.run(name, 0).settings.values() == ours | {name: published}


def test_the_reported_bias_is_compared_by_the_product_form() -> None:
    """Equation 10 as written, of the gradient of the mean loss."""
    torch.manual_seed(0)
    model, test = OneConvNet(3, image_size=8), images(10)
    x = (test.pixels.float() / 255).requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), test.labels), x)
    spectrum = torch.fft.rfft2(gradient.double()).abs().mean((0, 1))[:5, :5]

    def bias(m: torch.Tensor, shift: float) -> float:
        alpha = torch.linspace(1, -1, 5, dtype=torch.float64) + shift
        return (m.pow(alpha).prod(1).sum() + m.T.pow(alpha).prod(1).sum()).log().item()

    ours = bias(spectrum + 1e-8 * spectrum.mean(), 0)
    found = bias_effects(model.eval(), test, run(Path(), profiled_images=10).settings)
    assert found["reported_floor"] == pytest.approx(bias(spectrum + 1e-5, 0) - ours, abs=1e-6)
    shifted = bias(spectrum + 1e-8 * spectrum.mean(), 1e-5) - ours
    assert found["reported_alpha_shift"] == pytest.approx(shifted, rel=1e-2)


def test_the_published_rule_is_compared_with_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Attack:
        def __init__(self, eps: float, *, select: str, **_: int) -> None:
            assert eps == 2 / 255
            self.select = select

        def run(self, *_: object) -> SimpleNamespace:
            return SimpleNamespace(accuracy={"max-loss": 0.5, "broken": 0.25}[self.select])

    monkeypatch.setattr(deviation_effects, "PGDAttack", Attack)
    settings = run(Path(), eps_255=2).settings
    assert selection_effect(OneConvNet(3, image_size=8), images(30), settings) == 25
