"""Each method is the objective that its name says, with the values of its settings."""

import pytest
import torch
from recipe.settings.experiment import METHODS, Method
from recipe.training.objectives import objective
from tiny_experiment import run

from freqreg import (
    APR,
    CURE,
    ELLE,
    FGSM,
    LLR,
    NFGSM,
    PGD,
    AbsoluteFloor,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Mix,
    MultiGrad,
    Objective,
    RelativeFloor,
    ZeroGrad,
)
from freqreg.errors import SettingError
from freqreg.mixers.base import ascend
from freqreg.pixels import UNIT_PIXELS

EPS = 8 / 255
EXPECTED: dict[Method, Objective] = {
    "standard": Objective(),
    "jafr": Objective([JaFR(0.01)]),
    "jafr-": Objective([JaFR(-0.01)]),
    "fourier-low": Objective([FourierSensitivity(0.5)]),
    "fourier-high": Objective([FourierSensitivity(0.5, "high")]),
    "fgsm": Objective(mixer=FGSM(EPS, alpha=1.25)),
    "fgsm+jafr": Objective([JaFR(0.01)], mixer=FGSM(EPS, alpha=1.25)),
    "fgsm+jafr-": Objective([JaFR(-0.01)], mixer=FGSM(EPS, alpha=1.25)),
    "fgsm+gradalign": Objective([GradAlign(0.2, EPS)], mixer=FGSM(EPS, alpha=1.25)),
    "pgd": Objective(mixer=PGD(EPS, steps=2, step_size=4 / 255, start="zero")),
    "nfgsm": Objective(mixer=NFGSM(EPS, alpha=1.0, noise=2.0)),
    "nfgsm+fourier-low": Objective([FourierSensitivity(0.5)], NFGSM(EPS, alpha=1.0, noise=2.0)),
    "pgd2": Objective(mixer=PGD(EPS, steps=2, step_size=EPS / 2, start="zero")),
    "fgsm+elle": Objective([ELLE(10.0, EPS)], FGSM(EPS, alpha=1.25)),
    "fgsm+llr": Objective([LLR(20.0, EPS)], FGSM(EPS, alpha=1.25)),
    "fgsm+cure": Objective([CURE(1e-3)], FGSM(EPS, alpha=1.25)),
    "zerograd": Objective(mixer=ZeroGrad(EPS, quantile=0.4)),
    "multigrad": Objective(mixer=MultiGrad(EPS, samples=3)),
    "gradnorm1": Objective([InputGradientNorm(0.02, order=1)]),
    "gradnorm2": Objective([InputGradientNorm(0.02, order=2)]),
    "apr": Objective(mixer=Mix(APR(), fraction=0.25)),
    "apr+fourier-low": Objective([FourierSensitivity(0.5)], Mix(APR(), fraction=0.25)),
}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_its_objective(method: Method, tmp_path) -> None:
    assert objective(method, run(tmp_path, method).settings, 8) == EXPECTED[method]


def test_published_details_reach_the_objective(tmp_path) -> None:
    settings = run(
        tmp_path, absolute_floor=1e-5, alpha_shift=1e-5, batch_norm="every pass"
    ).settings
    published = objective("jafr", settings, 8)
    (jafr,) = published.regularizers
    assert published.batch_norm == "every pass"
    assert isinstance(jafr, JaFR)
    assert jafr.floor == AbsoluteFloor(1e-5)
    assert jafr.alpha is not None
    rows, columns = jafr.alpha
    assert (
        list(rows)
        == list(columns)
        == pytest.approx([1 + 1e-5, 0.5 + 1e-5, 1e-5, -0.5 + 1e-5, -1 + 1e-5])
    )
    (ours,) = objective("jafr", run(tmp_path).settings, 8).regularizers
    assert isinstance(ours, JaFR)
    assert ours.floor == RelativeFloor()
    assert ours.alpha is None


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("fourier-low", 0.4, FourierSensitivity(0.5, target=0.4)),
        ("jafr", 14.0, JaFR(0.01, target=14.0)),
    ],
)
def test_a_target_reaches_either_family(tmp_path, method: Method, target: float, expected) -> None:
    settings = run(tmp_path, penalty_target=target).settings
    assert objective(method, settings, 8).regularizers == (expected,)


def test_the_size_of_lambda_has_no_sign(tmp_path) -> None:
    with pytest.raises(SettingError, match="jafr-"):
        objective("jafr", run(tmp_path, lambda_freq=-0.01).settings, 8)


@pytest.mark.parametrize("strength", [0.01, 0.1, 0.5])
def test_a_weaker_fgsm_is_a_shorter_step(tmp_path, strength: float) -> None:
    settings = run(tmp_path).settings
    weaker = objective("fgsm", settings, 8, strength=strength).mixer
    x, towards = torch.rand(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    assert weaker is not None
    mixed = weaker(x, lambda point: towards, UNIT_PIXELS)
    step = strength * settings.fgsm_alpha.value * EPS
    stepped = ascend(x, x, towards, UNIT_PIXELS, step=step, eps=EPS)
    assert torch.equal(mixed, stepped)
