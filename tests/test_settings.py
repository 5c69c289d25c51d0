"""Settings that cannot be meant are refused when they are given."""

import inspect
import math
from collections.abc import Callable

import pytest

from freqreg import (
    FGSM,
    NFGSM,
    PGD,
    AbsoluteFloor,
    Every,
    FiniteDifference,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Mix,
    Objective,
    PixelSpace,
    Warmup,
)
from freqreg.errors import SettingError


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "make",
    [
        lambda v: JaFR(v),
        lambda v: JaFR(alpha=([v, 0.0], [1.0, -1.0])),
        lambda v: GradAlign(v),
        lambda v: GradAlign(eps=v),
        lambda v: InputGradientNorm(v),
        lambda v: FGSM(v),
        lambda v: FGSM(alpha=v),
        lambda v: NFGSM(noise=v),
        lambda v: PGD(v),
        lambda v: PGD(step_size=v),
        lambda v: PixelSpace(mean=v),
        lambda v: PixelSpace(std=(1.0, v)),
        lambda v: FiniteDifference(v),
    ],
)
def test_settings_that_are_not_finite(make: Callable, value: float) -> None:
    with pytest.raises(SettingError, match="finite"):
        make(value)


@pytest.mark.parametrize("kind", [JaFR, GradAlign, InputGradientNorm, FGSM, PGD, FiniteDifference])
def test_settings_that_are_text(kind: Callable, unchecked_shapes: None) -> None:
    with pytest.raises(SettingError, match=r"is '1e-3'; it must be a finite number"):
        kind("1e-3")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Objective((), FGSM(8.0)), "8.0/255|8/255"),
        (lambda: Objective((), NFGSM(1.5)), "pixel range"),
        (lambda: Objective((), Mix(PGD(2.0), fraction=0.5)), "pixel range"),
        (lambda: Objective([GradAlign(eps=8.0)]), "pixel range"),
        (lambda: Objective([Warmup(GradAlign(eps=8.0), 5)]), "pixel range"),
        (lambda: FGSM(0.0), "above 0"),
        (lambda: FGSM(8 / 255, alpha=10 / 255), r"divide it by eps: alpha=1\.25"),
        (lambda: FGSM(start="noise"), "'zero' or 'random'"),  # pyright: ignore[reportArgumentType]
        (lambda: PGD(steps=0), "1 or more"),
        (lambda: Mix(FGSM(), fraction=0.0), r"\(0, 1\]"),
        (lambda: Every(JaFR(), 0), "1 or more"),
        (lambda: PixelSpace(low=1, high=0), "low"),
        (lambda: JaFR(floor=1e-5), "AbsoluteFloor"),  # pyright: ignore[reportArgumentType]
        (lambda: JaFR(sync=True, floor=AbsoluteFloor()), r"RelativeFloor\(\)"),
        (lambda: JaFR(quadrants=3), "quadrants"),  # pyright: ignore[reportArgumentType]
        (lambda: Objective(JaFR()), r"Objective\(\["),  # pyright: ignore[reportArgumentType]
        (lambda: Objective([FGSM()]), "no Regularizer"),  # pyright: ignore[reportArgumentType]
        (lambda: Objective(JaFR), r"Objective\(\["),  # pyright: ignore[reportArgumentType]
        (lambda: Objective([JaFR]), "no Regularizer"),  # pyright: ignore[reportArgumentType]
        (lambda: Every(JaFR, 4), "no Regularizer"),  # pyright: ignore[reportArgumentType]
        (lambda: Every(JaFR(), True), "whole number"),
        (lambda: Every(JaFR(), 4).weight_at(-1), "counted from 0"),
        (lambda: Objective((), 3), "no mixer"),  # pyright: ignore[reportArgumentType]
        (lambda: Objective((), FGSM), "no mixer"),  # pyright: ignore[reportArgumentType]
        (lambda: Mix(FGSM, fraction=0.5), "no mixer"),  # pyright: ignore[reportArgumentType]
        (lambda: Objective(pixels=0.5), r"PixelSpace\(mean, std\)"),  # pyright: ignore[reportArgumentType]
        (lambda: Objective(differentiation=DoubleNot), "instance"),  # pyright: ignore[reportArgumentType]
        (lambda: Objective(batch_norm="none"), "every pass"),  # pyright: ignore[reportArgumentType]
        (lambda: FiniteDifference(scheme="forward"), "one-sided"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_settings_that_cannot_be_meant(make: Callable, match: str, unchecked_shapes: None) -> None:
    with pytest.raises(SettingError, match=match):
        make()


class DoubleNot:
    """A class where an instance is needed."""


@pytest.mark.parametrize(
    ("settings", "positional"),
    [
        (Objective, ["regularizers", "mixer"]),
        (JaFR, ["lambda_freq"]),
        (GradAlign, ["lambda_align", "eps"]),
        (FGSM, ["eps"]),
        (NFGSM, ["eps"]),
        (PGD, ["eps"]),
        (Mix, ["mixer"]),
        (Every, ["regularizer", "steps"]),
    ],
)
def test_further_settings_are_given_by_name(settings: type, positional: list[str]) -> None:
    parameters = inspect.signature(settings).parameters.values()
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == positional
