"""The paper preset, against what the paper and its code say, typed here a second time."""

from typing import Any

import cifar10
import pytest
from recipe.command_line import Arguments, describe, settings_lines
from recipe.settings import METHODS, Method, Settings, Source

EVERYWHERE: dict[str, tuple[Any, str]] = {
    "epochs": (30, "paper"),
    "eps_255": (8, "paper"),
    "model": ("preact_resnet18", "paper"),
    "attack_steps": (50, "paper"),
    "attack_restarts": (10, "paper"),
    "batch_size": (128, "published code"),
    "optimizer": ("sgd", "published code"),
    "momentum": (0.9, "published code"),
    "weight_decay": (0.0005, "published code"),
    "padding": (4, "published code"),
    "flip": (True, "published code"),
    "width": (64, "published code"),
    "fgsm_alpha": (1.25, "published code"),
    "pgd_steps": (10, "published code"),
    "pgd_step_255": (2, "published code"),
    "pgd2_steps": (2, "not published"),
    "nfgsm_alpha": (1.0, "not published"),
    "nfgsm_noise": (2.0, "not published"),
    "lambda_align": (0.2, "published code"),
    "absolute_floor": (0.00001, "published code"),
    "alpha_shift": (0.00001, "published code"),
    "batch_norm": ("every pass", "published code"),
    "fgsm_images": (1000, "published code"),
    "profiled_images": (1000, "published code"),
    "attacked_images": (10000, "published code"),
}
RATES: dict[Method, tuple[float, str]] = {
    "standard": (0.2, "paper"),
    "jafr": (0.2, "paper"),
    "fgsm": (0.2, "paper"),
    "fgsm+jafr": (0.3, "paper"),
    "fgsm+gradalign": (0.3, "paper"),
    "pgd": (0.3, "paper"),
    "jafr-": (0.2, "not published"),
    "fgsm+jafr-": (0.3, "not published"),
    "nfgsm": (0.3, "not published"),
    "pgd2": (0.3, "not published"),
}
LAMBDAS: dict[Method, tuple[float, str]] = {
    "jafr": (0.001, "paper"),
    "fgsm+jafr": (0.001, "paper"),
    "jafr-": (0.001, "not published"),
    "fgsm+jafr-": (0.001, "not published"),
}


def sourced(settings: Settings, name: str) -> tuple[Any, str]:
    found = getattr(settings, name)
    return found.value, found.source.value


@pytest.mark.parametrize("method", METHODS)
def test_cifar10_is_the_papers(method: Method) -> None:
    settings = cifar10.EXPERIMENT.settings(method, "paper")
    assert {name: sourced(settings, name) for name in EVERYWHERE} == EVERYWHERE
    assert sourced(settings, "max_learning_rate") == RATES[method]
    if method in LAMBDAS:
        assert sourced(settings, "lambda_freq") == LAMBDAS[method]


def test_what_is_our_choice_says_why() -> None:
    for method in METHODS:
        settings = cifar10.EXPERIMENT.settings(method, "paper")
        unexplained = [
            name
            for name, source in settings.sources().items()
            if source == Source.OURS and not getattr(settings, name).note
        ]
        assert not unexplained


def test_presets_and_the_command_line_come_last() -> None:
    arguments = Arguments(method="pgd", preset="smoke", epochs=7)
    settings = arguments.settings(cifar10.EXPERIMENT)
    assert sourced(settings, "epochs") == (7, "command line")
    assert sourced(settings, "width") == (8, "preset")
    assert sourced(settings, "absolute_floor") == (None, "preset")
    assert sourced(settings, "momentum") == (0.9, "published code")


def test_compared_cells_of_a_small_preset_share_the_learning_rate() -> None:
    for chosen in ("mini", "smoke"):
        rates = {
            cifar10.EXPERIMENT.settings(method, chosen).max_learning_rate.value
            for method in METHODS
        }
        assert len(rates) == 1


def test_help_and_listing_name_every_value_and_its_source() -> None:
    described = describe(cifar10.EXPERIMENT)
    assert "max_learning_rate 0.2 (paper" in described
    assert "fgsm+jafr: max_learning_rate 0.3 (paper)" in described
    lines = settings_lines(cifar10.EXPERIMENT.settings("pgd", "paper"))
    others = {"max_learning_rate", "lambda_freq", "train_images", "attack_select", "noise_rms"}
    assert {line.split()[0] for line in lines} == {*EVERYWHERE, *others}
    assert any("batch_size 128 (published code: " in line for line in lines)
