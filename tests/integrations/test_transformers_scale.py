"""Penalties have the factor that the plain Trainer gives to the mean loss of a micro-batch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from freqreg import InputGradientNorm, JaFR, Objective
from freqreg.errors import SettingError
from tests.integrations.trainer_runs import (
    InOrder,
    PlainInOrder,
    arguments,
    assert_same,
    change,
)
from tests.integrations.vision_transformers import CLASSES, Pictures, small_swin, small_vit

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

IMAGES, MICRO_BATCH = 10, 4  # so that the last of three micro-batches is smaller
OBJECTIVE = Objective([JaFR(0.1), InputGradientNorm(100.0)])


class Tagged(Dataset):
    """Pictures of which each has any number of the classes."""

    def __init__(self) -> None:
        self.images = Pictures(IMAGES, torch.float64).images
        self.labels = (torch.arange(IMAGES)[:, None] >> torch.arange(CLASSES)) % 2 * 1.0
        self.labels = self.labels.double()

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


def small_convnext(**settings: Any) -> nn.Module:
    """Says that it takes no `num_items_in_batch`."""
    torch.manual_seed(0)
    sizes: Any = {"num_stages": 1, "depths": [1], "hidden_sizes": [8], "num_labels": CLASSES}
    return ConvNextForImageClassification(ConvNextConfig(**sizes, **settings))


def small_resnet(**settings: Any) -> nn.Module:
    """Has batch norms, and ignores `num_items_in_batch`."""
    torch.manual_seed(0)
    sizes: Any = {"embedding_size": 4, "hidden_sizes": [8], "depths": [1], "num_labels": CLASSES}
    return ResNetForImageClassification(ResNetConfig(**sizes, layer_type="basic", **settings))


def summed(logits: Tensor, labels: Tensor) -> Tensor:
    if labels.is_floating_point():
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return F.cross_entropy(logits, labels, reduction="sum")


def divides(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """A loss function as the Trainer's documentation asks for."""
    return summed(outputs.logits, labels) / num_items_in_batch


def ignores(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    """One that is the mean of its micro-batch."""
    return summed(outputs.logits, labels) / labels.numel()


def knows(outputs: Any, labels: Tensor, num_items_in_batch: Any = None, *, items: int) -> Tensor:
    """One that was told by other means how many items a step has."""
    return summed(outputs.logits, labels) / items


@dataclass(frozen=True)
class Case:
    """A model and a loss, and the factors that they have with one label an image and several."""

    model: Callable[..., nn.Module]
    single: str
    several: str
    settings: dict[str, Any]
    loss: Callable[..., Tensor] | None = None


CASES = {
    "model divides": Case(small_vit, "share", "one", {}),
    "model ignores the count": Case(small_swin, "one", "one", {}),
    "model refuses the count": Case(small_convnext, "equal", "equal", {}),
    "loss divides": Case(small_vit, "share", "share", {}, divides),
    "loss divides, model refuses": Case(small_convnext, "share", "share", {}, divides),
    "loss ignores the count": Case(small_vit, "one", "one", {}, ignores),
    "loss knows the count": Case(small_swin, "share", "share", {}, knows),
    "smoother": Case(small_vit, "share", "one", {"label_smoothing_factor": 0.1}),
    "smoother, model ignores": Case(small_swin, "share", "one", {"label_smoothing_factor": 0.1}),
    "smoother, model refuses": Case(
        small_convnext, "equal", "equal", {"label_smoothing_factor": 0.1}
    ),
}


def model_of(case: Case, multi_label: bool) -> nn.Module:
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    return case.model(problem_type=kind).double()


def micro_batches(data: Any, accumulation: int) -> Iterator[tuple[Tensor, Tensor]]:
    rows = torch.arange(IMAGES)[: MICRO_BATCH * accumulation].split(MICRO_BATCH)
    return ((data.images[r], data.labels[r]) for r in rows)


def by_hand(model: nn.Module, data: Any, accumulation: int, factor: str, smoothing: float) -> Any:
    """Gradients of the mean losses and the penalties, and of the mean losses alone."""

    def mean_loss(images: Tensor, labels: Tensor) -> Tensor:
        logits = model(images).logits
        if labels.is_floating_point():
            return F.binary_cross_entropy_with_logits(logits, labels)
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    images = min(IMAGES, MICRO_BATCH * accumulation)
    results = []
    for objective in (OBJECTIVE, Objective()):
        model.zero_grad()
        for x, y in micro_batches(data, accumulation):
            loss = objective(lambda z, y=y: mean_loss(z, y), x)
            (
                loss * {"share": len(x) / images, "one": 1, "equal": 1 / accumulation}[factor]
            ).backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        results.append({name: grad.clone() for name, grad in grads.items()})
    return results


@pytest.mark.filterwarnings("ignore:Label smoothing is not compatible:UserWarning")
@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("multi_label", [False, True], ids=["single label", "multi label"])
@pytest.mark.parametrize("name", CASES)
def test_the_penalty_has_the_factor_of_the_mean_loss(
    tmp_path: Path, name: str, multi_label: bool, accumulation: int
) -> None:
    case = CASES[name]
    data = Tagged() if multi_label else Pictures(IMAGES, torch.float64)
    settings = arguments(tmp_path, gradient_accumulation_steps=accumulation, **case.settings)
    smoothing = case.settings.get("label_smoothing_factor", 0.0)
    factor = case.several if multi_label else case.single
    rtol = 1e-5 if smoothing and not multi_label else 1e-9  # the Trainer smooths in float32
    both, main = by_hand(model_of(case, multi_label), data, accumulation, factor, smoothing)
    given: Any = {"args": settings, "train_dataset": data, "compute_loss_func": case.loss}
    if case.loss is knows:
        items = data.labels[: MICRO_BATCH * accumulation].numel()
        given["compute_loss_func"] = partial(knows, items=items)
    plain, regularized = model_of(case, multi_label), model_of(case, multi_label)
    assert_same(change(PlainInOrder(plain, **given)), main, rtol)
    run = InOrder(regularized, **given, objective=OBJECTIVE)
    assert_same(change(run), both, rtol)


@pytest.mark.parametrize(
    ("model", "settings"),
    [(small_resnet, {}), (small_vit, {"hidden_dropout_prob": 0.5})],
    ids=["batch norm", "dropout"],
)
def test_finding_the_factor_leaves_no_trace(
    tmp_path: Path, model: Callable[..., nn.Module], settings: dict[str, Any]
) -> None:
    found = []
    negligible = Objective([InputGradientNorm(1e-200)])
    runs: list[tuple[Any, dict[str, Any]]] = [
        (PlainInOrder, {}),
        (InOrder, {"objective": negligible}),
    ]
    for trainer, extra in runs:
        trained = model(**settings).double()
        run = trainer(
            trained,
            arguments(tmp_path, gradient_accumulation_steps=2),
            train_dataset=Pictures(8, torch.float64),
            **extra,
        )
        run.train()
        found.append({**trained.state_dict(), "random state": torch.get_rng_state()})
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


def test_ignored_labels_do_not_count(tmp_path: Path) -> None:
    """Not even where whole micro-batches, the first and the third of four, have no other ones."""
    data = Pictures(14, torch.float64)
    data.labels[:5] = data.labels[8:12] = -100
    model = small_vit().double()
    for x, y in [(data.images[4:8], data.labels[4:8]), (data.images[12:], data.labels[12:])]:
        loss = OBJECTIVE(lambda z, y=y: F.cross_entropy(model(z).logits, y), x)
        (loss * (y >= 0).sum() / 5).backward()
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    trained = small_vit().double()
    settings = arguments(tmp_path, gradient_accumulation_steps=4)
    run = InOrder(trained, settings, train_dataset=data, objective=OBJECTIVE)
    assert_same(change(run), expected)
    assert math.isfinite(run.state.log_history[0]["main_loss"])


def by_root(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return summed(outputs.logits, labels) / num_items_in_batch**0.5


def root(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
    return summed(outputs.logits, labels) ** 0.5


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (by_root, r"0\.707 times as large when num_items_in_batch is doubled"),
        (root, r"1\.41 times as large when the batch is doubled"),
    ],
)
def test_a_loss_that_is_neither_sum_nor_mean_must_be_declared(
    tmp_path: Path, loss: Callable[..., Tensor], message: str
) -> None:
    data = Pictures(6, torch.float64)

    def run(trainer: Any, declared: bool | None, accumulation: int = 2, **extra: Any) -> Any:
        model = small_vit().double()
        settings = arguments(tmp_path, gradient_accumulation_steps=accumulation)
        run = trainer(model, settings, train_dataset=data, compute_loss_func=loss, **extra)
        run.loss_is_scaled_for_ga = declared
        return change(run)

    objective = Objective([JaFR(10.0)])
    with pytest.raises(SettingError, match=message):
        run(InOrder, None, objective=objective)
    assert run(InOrder, None, accumulation=1, objective=objective)
    for declared, factors in ((True, (4 / 6, 2 / 6)), (False, (1 / 2, 1 / 2))):
        plain = run(PlainInOrder, declared)
        both = run(InOrder, declared, objective=objective)
        expected = penalties_by_hand(objective, data, factors)
        for name in expected:
            found = both[name] - plain[name]
            torch.testing.assert_close(found, expected[name], rtol=1e-6, atol=1e-6)


def penalties_by_hand(objective: Objective, data: Pictures, factors: tuple[float, ...]) -> Any:
    """Gradients of the weighted penalties of micro-batches, each with its factor."""
    model = small_vit().double()
    for x, y, factor in zip(data.images.split(4), data.labels.split(4), factors, strict=True):
        penalty = objective.penalties(lambda z, y=y: F.cross_entropy(model(z).logits, y), x)
        (penalty * factor).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_one_process_with_several_gpus_is_refused(tmp_path: Path) -> None:
    run = InOrder(small_vit(), arguments(tmp_path), train_dataset=Pictures(4), objective=OBJECTIVE)
    run.args._n_gpu = 2
    with pytest.raises(SettingError, match="torchrun --nproc_per_node 2"):
        run.train()
