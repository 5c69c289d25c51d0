"""The paper preset, against what the paper and its code say, typed here a second time."""

import sys
from dataclasses import fields
from typing import Any

import cifar10
import cifar100
import pytest
import svhn
import tiny_imagenet
from recipe.command_line import Arguments
from recipe.settings.experiment import METHODS, Method, Settings, Source
from recipe.settings.overrides import parsed

EXPERIMENTS = {e.name: e for e in (r.EXPERIMENT for r in (cifar10, cifar100, svhn, tiny_imagenet))}
PAPER, CODE, OURS = "paper", "published code", "not published"

EVERYWHERE: dict[str, tuple[Any, str]] = {
    "eps_255": (8, PAPER),
    "model": ("preact_resnet18", PAPER),
    "best_every": (200, CODE),
    "best_images": (256, CODE),
    "best_attack_steps": (10, CODE),
    "attack_steps": (50, PAPER),
    "attack_restarts": (10, PAPER),
    "attack_select": ("max-loss", CODE),
    "batch_size": (128, CODE),
    "optimizer": ("sgd", CODE),
    "momentum": (0.9, CODE),
    "weight_decay": (0.0005, CODE),
    "padding": (4, CODE),
    "width": (64, CODE),
    "noise_std": (0.0, CODE),
    "blur_std": (0.0, CODE),
    "pretrained": (False, CODE),
    "enlarged": (None, CODE),
    "channels_last": (False, CODE),
    "fgsm_alpha": (1.25, CODE),
    "pgd_steps": (10, CODE),
    "pgd_step_255": (2, CODE),
    "pgd2_steps": (2, OURS),
    "limits_stay": (True, CODE),
    "nfgsm_alpha": (1.0, OURS),
    "nfgsm_noise": (2.0, OURS),
    "lambda_elle": (1000.0, OURS),
    "lambda_llr": (1.0, OURS),
    "lambda_cure": (0.06, OURS),
    "apr_share": (0.5, OURS),
    "lambda_fourier": (0.5, OURS),
    "penalty_target": (None, PAPER),
    "absolute_floor": (0.00001, CODE),
    "alpha_shift": (0.00001, CODE),
    "batch_norm": ("every pass", CODE),
    "penalty_every": (1, PAPER),
    "penalty_share": (1.0, PAPER),
    "fgsm_images": (1000, CODE),
    "profiled_images": (1000, CODE),
    "noise_rms": (0.1, OURS),
}
BY_DATASET: dict[str, dict[str, tuple[Any, str]]] = {
    "cifar10": {
        "train_images": (50000, PAPER),
        "epochs": (30, PAPER),
        "flip": (True, CODE),
        "warmup_epochs": (0, CODE),
        "lambda_align": (0.2, CODE),
        "attacked_images": (10000, CODE),
    },
    "cifar100": {
        "train_images": (50000, PAPER),
        "epochs": (30, PAPER),
        "flip": (True, CODE),
        "warmup_epochs": (0, CODE),
        "lambda_align": (0.2, CODE),
        "attacked_images": (10000, CODE),
    },
    "svhn": {
        "train_images": (73257, PAPER),
        "epochs": (15, PAPER),
        "flip": (False, CODE),
        "warmup_epochs": (5, CODE),
        "lambda_align": (2.5, PAPER),
        "attacked_images": (26032, CODE),
    },
    "tiny_imagenet": {
        "train_images": (100000, PAPER),
        "epochs": (30, PAPER),
        "flip": (True, CODE),
        "warmup_epochs": (0, CODE),
        "lambda_align": (0.2, OURS),
        "attacked_images": (10000, CODE),
    },
}
PUBLISHED: tuple[Method, ...] = (
    "standard",
    "jafr",
    "fgsm",
    "fgsm+jafr",
    "fgsm+gradalign",
    "pgd",
)
UNPUBLISHED: tuple[Method, ...] = (
    "jafr-",
    "fgsm+jafr-",
    "nfgsm",
    "nfgsm+fourier-low",
    "pgd2",
    "fourier-low",
    "fourier-high",
    "fgsm+elle",
    "fgsm+llr",
    "fgsm+cure",
    "zerograd",
    "multigrad",
    "gradnorm1",
    "gradnorm2",
    "apr",
    "apr+fourier-low",
)
QUANTILES = {"cifar10": 0.35, "cifar100": 0.45, "svhn": 0.7, "tiny_imagenet": 0.45}
FAMILY = {"cifar10": 0.2, "cifar100": 0.1, "svhn": 0.05, "tiny_imagenet": 0.1}
RATES: dict[str, tuple[float, ...]] = {  # PUBLISHED, then UNPUBLISHED
    "cifar10": (0.2, 0.2, 0.2, 0.3, 0.3, 0.3, 0.2, 0.3, 0.3, 0.3, 0.3, 0.2, 0.2),
    "cifar100": (0.2, 0.1, 0.3, 0.3, 0.3, 0.3, 0.1, 0.3, 0.3, 0.3, 0.3, 0.1, 0.1),
    "svhn": (0.05,) * 13,
    "tiny_imagenet": (0.2, 0.1, 0.3, 0.3, 0.3, 0.3, 0.1, 0.3, 0.3, 0.3, 0.3, 0.1, 0.1),
}
LAMBDAS: dict[str, tuple[float, float]] = {  # JaFR, FGSM AT + JaFR
    "cifar10": (0.001, 0.001),
    "cifar100": (0.001, 0.001),
    "svhn": (0.001, 0.05),
    "tiny_imagenet": (0.002, 0.002),
}


def sourced(settings: Settings, name: str) -> tuple[Any, str]:
    found = getattr(settings, name)
    return found.value, found.source.value


def expected(dataset: str, method: Method) -> dict[str, tuple[Any, str]]:
    source = OURS if method in UNPUBLISHED else PAPER
    of_nfgsm = RATES[dataset][(PUBLISHED + UNPUBLISHED).index("nfgsm")]
    rates = (*RATES[dataset], *(of_nfgsm,) * 5, *(FAMILY[dataset],) * 4)
    rate = rates[(PUBLISHED + UNPUBLISHED).index(method)]
    found = {**EVERYWHERE, **BY_DATASET[dataset], "max_learning_rate": (rate, source)}
    found["zerograd_quantile"] = (QUANTILES[dataset], OURS)
    found["lambda_norm"] = (0.01 if method == "gradnorm2" else 0.0314, OURS)
    if "jafr" in method:
        found["lambda_freq"] = (LAMBDAS[dataset]["fgsm" in method], source)
    return found


@pytest.mark.parametrize("dataset", EXPERIMENTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_paper_preset_is_the_papers(dataset: str, method: Method) -> None:
    settings = EXPERIMENTS[dataset].settings(method, "paper")
    wanted = expected(dataset, method)
    assert {name: sourced(settings, name) for name in wanted} == wanted
    assert {field.name for field in fields(Settings)} - {*wanted} <= {"lambda_freq"}


@pytest.mark.parametrize("dataset", EXPERIMENTS)
def test_what_is_our_choice_says_why(dataset: str) -> None:
    for method in METHODS:
        settings = EXPERIMENTS[dataset].settings(method, "paper")
        unexplained = [
            name
            for name, source in settings.sources().items()
            if source == Source.OURS and not getattr(settings, name).note
        ]
        assert not unexplained


def program(monkeypatch: pytest.MonkeyPatch, *options: str) -> Settings:
    """The settings of a recipe that is called with these options."""
    monkeypatch.setattr(sys, "argv", ["cifar10.py", *options])
    return parsed(Arguments, lambda own: cifar10.EXPERIMENT.settings(own.method, own.preset), "")[1]


def test_presets_and_the_command_line_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--method", "pgd", "--preset=smoke", "--epochs", "7", "--max-learning-rate=0.05"]
    settings = program(monkeypatch, *options)
    assert sourced(settings, "epochs") == (7, "command line")
    assert sourced(settings, "max_learning_rate") == (0.05, "command line")  # the preset's too
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


@pytest.mark.parametrize(
    ("method", "rate"), [("standard", "0.2 (paper: cyclic"), ("fgsm+jafr", "0.3 (paper)")]
)
def test_help_names_every_value_and_its_source(
    method: Method, rate: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        program(monkeypatch, "--help", "--preset", "paper", "--method", method)
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"Peak of the cyclic schedule = {rate}" in said
    for name, item in vars(cifar10.EXPERIMENT.settings(method, "paper")).items():
        assert f"--{name.replace('_', '-')} " in said
        assert f"= {item}" in said
    assert "= 200 (published code: steps, and ours at the last; the paper reports" in said
