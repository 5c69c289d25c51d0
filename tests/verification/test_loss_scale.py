"""A scalar loss that is not the mean over images is refused where its scale matters."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import (
    CURE,
    ELLE,
    FGSM,
    LLR,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Objective,
)
from freqreg.differentiation import Differentiation
from freqreg.errors import InputGradientError
from freqreg.mixers import Mixer
from freqreg.regularizers import Regularizer
from tests.verification.models import DIFFERENTIATIONS, batch, net

Y = torch.arange(8)
SOFT = F.one_hot(Y, 8).float()
Criterion = Callable[[Tensor], Tensor]


def each(logits: Tensor, y: Tensor = Y) -> Tensor:
    return F.cross_entropy(logits, y, reduction="none")


def summed(logits: Tensor, y: Tensor = Y, smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(logits, y, reduction="sum", label_smoothing=smoothing)


SUMS: dict[str, Criterion] = {
    "cross-entropy": summed,
    "label smoothing": lambda z: summed(z, smoothing=0.1),
    "soft labels": lambda z: F.cross_entropy(z, SOFT, reduction="sum"),
    "mixup": lambda z: 0.3 * summed(z) + 0.7 * summed(z, Y.flip(0)),
    "sum": lambda z: each(z).sum(),
    "sum over a dimension": lambda z: each(z).sum(0),
    "binary": lambda z: F.binary_cross_entropy_with_logits(z, SOFT, reduction="sum"),
    "written out": lambda z: -(z.log_softmax(1) * SOFT).sum(),
    "one by one": lambda z: torch.stack([F.cross_entropy(a, b) for a, b in zip(z, Y)]).sum(),  # noqa: B905
    "with more": lambda z: summed(z).double() + 0.01 * z.square().mean(),
}
MEANS: dict[str, Criterion] = {
    "cross-entropy": lambda z: F.cross_entropy(z, Y),
    "label smoothing": lambda z: F.cross_entropy(z, Y, label_smoothing=0.1),
    "class weights": lambda z: F.cross_entropy(z, Y, torch.rand(8), label_smoothing=0.1),
    "soft labels": lambda z: F.cross_entropy(z, SOFT),
    "mixup": lambda z: 0.3 * F.cross_entropy(z, Y) + 0.7 * F.cross_entropy(z, Y.flip(0)),
    "divided": lambda z: summed(z) / len(z),
    "times 1 / n": lambda z: summed(z) * (1 / len(z)),
    "losses of images": each,
    "mean": lambda z: each(z).mean(),
    "sum over classes first": lambda z: (z - SOFT).square().sum(1).mean(),
    "mean over images first": lambda z: (z - SOFT).square().mean(0).sum(),
    "divided over images first": lambda z: ((z - SOFT).square().sum(0) / len(z)).sum(),
    "binary": lambda z: F.binary_cross_entropy_with_logits(z, SOFT),
    "ten times": lambda z: 10 * F.cross_entropy(z, Y),
    "of those with a label": lambda z: (each(z) * (Y < 3)).sum() / (Y < 3).sum(),
    "with a small sum": lambda z: F.cross_entropy(z, Y) + 3e-3 * z.square().sum(),
    "a trained weight": lambda z: nn.Parameter(torch.tensor(0.5)) * F.cross_entropy(z, Y),
    "heads": lambda z: torch.stack([F.cross_entropy(z * k, Y) for k in range(1, 9)]).sum(),
    "norm": lambda z: (z - SOFT).square().sum().sqrt(),
    "half squares": lambda z: (z - SOFT).square().mean() / 2,
    "in bits": lambda z: F.cross_entropy(z, Y) / math.log(2),
    "of two heads": lambda z: (F.cross_entropy(z, Y) + F.cross_entropy(2 * z, Y)) / 2,
}
DIVIDED: dict[str, Criterion] = {
    "cross-entropy": lambda z: F.cross_entropy(z, Y) / 4,
    "mean": lambda z: each(z).mean() / 4,
    "by a tensor": lambda z: F.cross_entropy(z, Y) / torch.tensor(4.0),
}


def run(
    criterion: Criterion,
    regularizer: Regularizer,
    differentiation: Differentiation = DIFFERENTIATIONS[0],
    mixer: Mixer | None = None,
    *,
    streamed: bool = False,
    verify: bool = True,
) -> None:
    (x, _), model = batch(), net(nn.SiLU())
    objective = Objective([regularizer], mixer, differentiation=differentiation, verify=verify)

    def loss_fn(images: Tensor) -> Tensor:
        return criterion(model(images))

    if streamed:
        for loss in objective.losses(loss_fn, x):
            loss.backward()
    else:
        objective(loss_fn, x).backward()


@pytest.mark.parametrize("case", SUMS)
def test_a_sum_is_refused(case: str) -> None:
    with pytest.raises(InputGradientError, match=r"sum of the losses of 8 .* 64 times too large"):
        run(SUMS[case], InputGradientNorm(0.1))


@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
@pytest.mark.parametrize("mixer", [None, FGSM()], ids=repr)
@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("regularizer", "factor"), [(CURE(0.1), 64), (InputGradientNorm(0.1, order=1), 8)]
)
def test_a_sum_is_refused_in_every_kind_of_step(
    regularizer: Regularizer,
    factor: int,
    differentiation: Differentiation,
    mixer: Mixer | None,
    streamed: bool,
) -> None:
    with pytest.raises(InputGradientError, match=f"{factor} times too large"):
        run(summed, regularizer, differentiation, mixer, streamed=streamed)


@pytest.mark.parametrize("case", MEANS)
def test_a_mean_is_silent(case: str) -> None:
    run(MEANS[case], InputGradientNorm(0.1))


@pytest.mark.parametrize("regularizer", [JaFR(0.1), GradAlign(0.1)], ids=repr)
@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
def test_a_sum_is_right_where_the_scale_does_not_matter(
    regularizer: Regularizer, differentiation: Differentiation
) -> None:
    run(summed, regularizer, differentiation)


@pytest.mark.parametrize("regularizer", [JaFR(0.1), InputGradientNorm(0.1)], ids=repr)
@pytest.mark.parametrize("criterion", [each, MEANS["cross-entropy"], MEANS["divided"]])
def test_a_gradient_scaler_within_is_refused(
    criterion: Criterion, regularizer: Regularizer
) -> None:
    scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(InputGradientError, match=r"times 65536.*scaler\.scale\(objective"):
        run(lambda z: scaler.scale(criterion(z).mean()), regularizer)


@pytest.mark.parametrize("regularizer", [JaFR(0.1), InputGradientNorm(0.1)], ids=repr)
@pytest.mark.parametrize("case", DIVIDED)
def test_a_share_of_the_mean_is_refused(case: str, regularizer: Regularizer) -> None:
    with pytest.raises(InputGradientError, match=r"divided its mean loss by 4.*x\) / 4"):
        run(DIVIDED[case], regularizer)


def test_a_share_of_the_mean_is_right_where_the_penalty_shrinks_alike() -> None:
    run(DIVIDED["cross-entropy"], InputGradientNorm(0.1, order=1))


def test_a_sum_is_refused_after_a_mean_of_the_same_model() -> None:
    (x, y), model, objective = batch(), net(nn.SiLU()), Objective([InputGradientNorm(0.1)])
    objective(lambda images: F.cross_entropy(model(images), y), x)
    with pytest.raises(InputGradientError, match="the sum of the losses"):
        objective(lambda images: F.cross_entropy(model(images), y, reduction="sum"), x)


def test_a_sum_may_be_intended() -> None:
    run(summed, InputGradientNorm(0.1), verify=False)


@pytest.mark.parametrize("regularizer", [ELLE(1.0), LLR(1.0), InputGradientNorm(0.1)], ids=repr)
@pytest.mark.parametrize("mixer", [None, FGSM()], ids=repr)
@pytest.mark.parametrize("streamed", [False, True])
def test_scaled_losses_of_images_are_refused(
    regularizer: Regularizer, mixer: Mixer | None, streamed: bool
) -> None:
    run(each, regularizer, mixer=mixer, streamed=streamed)
    for scaled, said in (
        (lambda z: each(z) / 4, "divided its mean loss by 4"),
        (lambda z: torch.tensor(65536.0) * each(z), "times 65536, as a gradient scaler"),
    ):
        with pytest.raises(InputGradientError, match=said):
            run(scaled, regularizer, mixer=mixer, streamed=streamed)
