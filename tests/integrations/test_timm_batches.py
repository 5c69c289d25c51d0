"""Regularized tasks on the batches that timm's loaders, augmentations and precisions make."""

# pyright: reportPrivateImportUsage=false, reportArgumentType=false

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from timm import task as timm_tasks
from timm.data import AugMixDataset, FastCollateMixup, Mixup, create_dataset, create_loader
from timm.layers import convert_splitbn_model
from timm.loss import JsdCrossEntropy
from timm.task import ClassificationTask
from timm.utils import NativeScaler
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg import FGSM, JaFR, Mix, Objective, PixelSpace
from freqreg.integrations.timm import regularize
from tests.integrations.timm_parts import (
    CLASSES,
    WITH_BATCH_NORM,
    batch,
    grads_of,
    network,
    write_images,
)
from tests.references import jafr_penalty
from tests.steps import NO_FLOOR

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm's readers

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = PixelSpace(MEAN, STD)
MIXING = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "num_classes": CLASSES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def loader(folder: Path, *, aug_splits: int = 0, **settings: Any) -> Any:
    """Training batches as train.py loads them: prefetched, normalised and erased."""
    torch.manual_seed(3)
    dataset = create_dataset("", root=str(folder), split="train", is_training=True)
    if aug_splits:
        dataset = AugMixDataset(dataset, num_splits=aug_splits)
    return create_loader(
        dataset,
        input_size=(3, 32, 32),
        batch_size=6,
        is_training=True,
        num_aug_splits=aug_splits,
        mean=MEAN,
        std=STD,
        num_workers=0,
        device=torch.device("cpu"),
        **settings,
    )


def jafr_step(loss_fn: Any, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    loss = loss_fn(leaf)
    (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
    return loss + 0.3 * jafr_penalty(gradient)


JAFR = Objective([JaFR(0.3, floor=NO_FLOOR)])


@pytest.mark.parametrize("prefetcher", [True, False], ids=["collate", "no prefetcher"])
def test_mixup_and_cutmix(prefetcher: bool, folder: Path) -> None:
    settings: Any = {"collate_fn": FastCollateMixup(**MIXING)} if prefetcher else {}
    x, y = next(iter(loader(folder, use_prefetcher=prefetcher, **settings)))
    if not prefetcher:
        x, y = Mixup(**MIXING)(x, y)
    x, y = x.double(), y.double()
    assert ((y > 0).sum(1) > 1).any()
    model = network().double()
    task = ClassificationTask(model, criterion_kwargs={"soft_targets": True}, verbose=False)
    found = grads_of(model, regularize(task, JAFR)(x, y)["loss"])
    expected = jafr_step(lambda z: (-y * model(z).log_softmax(1)).sum(1).mean(), x)
    assert_close(found, grads_of(model, expected), rtol=1e-6, atol=1e-10)


def test_several_labels() -> None:
    x, _ = batch(dtype=torch.float64)
    y = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).double()
    model = network().double()
    by_hand = partial(ClassificationTask, criterion=nn.BCEWithLogitsLoss())
    newer: Any = getattr(timm_tasks, "MultiLabelClassificationTask", by_hand)  # timm 1.0.31
    task = newer(model, verbose=False)
    found = grads_of(model, regularize(task, JAFR)(x, y)["loss"])
    expected = jafr_step(lambda z: F.binary_cross_entropy_with_logits(model(z), y), x)
    assert_close(found, grads_of(model, expected), rtol=1e-6, atol=1e-10)


class TestAugMix:
    """Three splits of a batch, that clean images come first in."""

    def batch(self, folder: Path) -> tuple[Tensor, Tensor]:
        x, y = next(iter(loader(folder, aug_splits=3, auto_augment="augmix-m3-w3")))
        assert x.shape == (18, 3, 32, 32)
        return x.double(), y

    def test_jsd_keeps_the_splits(self, folder: Path) -> None:
        x, y = self.batch(folder)
        model = network().double()
        task = ClassificationTask(model, JsdCrossEntropy(num_splits=3), verbose=False)
        found = grads_of(model, regularize(task, JAFR)(x, y)["loss"])
        expected = jafr_step(lambda z: JsdCrossEntropy(num_splits=3)(model(z), y), x)
        assert_close(found, grads_of(model, expected), rtol=1e-6, atol=1e-10)

    @pytest.mark.parametrize("mixer", [None, FGSM(), Mix(FGSM(), fraction=0.5)], ids=str)
    def test_each_split_has_its_own_batch_norm(self, mixer: Any, folder: Path) -> None:
        x, y = self.batch(folder)
        models = [convert_splitbn_model(network(WITH_BATCH_NORM).double(), 3) for _ in range(2)]
        seen: list[Tensor] = []

        def noting(images: Tensor, *rest: Any) -> Tensor:
            seen.append(mixer(images, *rest) if mixer is not None else images)
            return seen[-1]

        task = ClassificationTask(models[0], JsdCrossEntropy(num_splits=3), verbose=False)
        regularize(task, Objective([JaFR(0.3)], mixer=noting))(x, y)["loss"].backward()
        models[1](seen[0])
        for mine, plain in zip(models[0].buffers(), models[1].buffers(), strict=True):
            assert_close(mine, plain)


def test_erased_pixels_may_lie_outside_the_range(folder: Path) -> None:
    x, y = next(iter(loader(folder, re_prob=1.0, re_mode="pixel")))
    x[:, :, :4, :4] = 20  # farther than noise would go
    model = network("resnet10t", zero_init_last=False)
    seen: list[Tensor] = []

    def noting(*given: Any) -> Tensor:
        seen.append(FGSM(8 / 255)(*given))
        return seen[-1]

    task = ClassificationTask(model, verbose=False)
    assert regularize(task, Objective()).objective.pixels == IMAGENET
    regularize(task, Objective([JaFR(0.1)], mixer=noting))(x, y)["loss"].backward()
    moved = (seen[0] - x) * torch.tensor(STD)[:, None, None]
    assert moved.abs().max() < 8.01 / 255
    assert (seen[0][:, :, :4, :4] <= 20).all()
    assert (seen[0][:, :, :4, :4] < 20).any()


def test_channels_last_changes_nothing() -> None:
    x, y = batch(dtype=torch.float64)
    models = [network(WITH_BATCH_NORM).double() for _ in range(2)]
    models[1].to(memory_format=torch.channels_last)
    last = x.contiguous(memory_format=torch.channels_last)
    losses = [
        regularize(ClassificationTask(model, verbose=False), JAFR)(images, y)["loss"]
        for model, images in zip(models, (x, last), strict=True)
    ]
    found = grads_of(models[1], losses[1])
    assert_close(found, grads_of(models[0], losses[0]), rtol=1e-6, atol=1e-10)


def test_one_step_updates_batch_norm_once_and_spends_no_randomness() -> None:
    x, y = batch()
    models = [network(WITH_BATCH_NORM, drop_rate=0.2, drop_path_rate=0.2) for _ in range(2)]
    states = []
    for model, objective in zip(models, (JAFR, None), strict=True):
        task = ClassificationTask(model, verbose=False)
        torch.manual_seed(5)
        step: Any = task if objective is None else regularize(task, objective)
        output = step(x, y)["output"]
        states.append((output, torch.get_rng_state(), *model.buffers()))
    for mine, plain in zip(*states, strict=True):
        assert_close(mine, plain)


def test_micro_batches_are_accumulated() -> None:
    x, y = batch(8, dtype=torch.float64)
    model = network().double()
    task = regularize(ClassificationTask(model, verbose=False), JAFR)
    halves = list(zip(x.chunk(2), y.chunk(2), strict=True))
    expected = sum(grads_of(model, task(*half)["loss"]) for half in halves) / 2
    model.zero_grad()
    for half in halves:
        loss = task(*half)["loss"]
        loss /= 2
        loss.backward()
    assert_close(torch.cat([p.grad.flatten() for p in model.parameters()]), expected)


@pytest.mark.parametrize("mixer", [None, FGSM()], ids=str)
def test_autocast_around_the_task_is_autocast_around_the_model(mixer: FGSM | None) -> None:
    x, y = batch()
    model = network(WITH_BATCH_NORM)
    task = ClassificationTask(model, verbose=False)
    objective = Objective([JaFR(0.1)], mixer, pixels=PixelSpace(0.5, 0.25))

    def autocast_loss(images: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return F.cross_entropy(model(images), y)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = regularize(task, objective)(x, y)["loss"]
    expected = objective(autocast_loss, x)
    assert_close(loss, expected)
    found, wanted = grads_of(model, loss), grads_of(model, expected)
    assert (found - wanted).norm() < 0.01 * wanted.norm()  # passes share the weights' casts


def convolutions() -> Any:
    """Small enough that its second derivatives stay finite in float16."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(256, CLASSES))


class TestScaler:
    """float16 with timm's own scaler."""

    def step(self, model: nn.Module, scaler: NativeScaler) -> float:
        """The scale after one step."""
        x, y = batch()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        objective = Objective([JaFR(0.1)], FGSM(), pixels=PixelSpace(0.5, 0.25))
        task = regularize(ClassificationTask(model, verbose=False), objective)
        with torch.autocast("cpu", dtype=torch.float16):
            loss = task(x, y)["loss"]
        scaler(loss, optimizer, clip_grad=1.0, parameters=model.parameters())
        return scaler.state_dict()["scale"]

    def test_it_finds_its_scale(self) -> None:
        model, scaler = convolutions(), NativeScaler(device="cpu")
        before = model[0].weight.detach().clone()
        scales = [self.step(model, scaler) for _ in range(6)]
        assert scales[-1] == scales[-2] > 1
        assert all(value.isfinite().all() for value in model.state_dict().values())
        assert (model[0].weight != before).any()

    def test_an_overflow_skips_the_step_and_spares_batch_norm(self) -> None:
        model = convolutions()
        with torch.no_grad():
            model[-1].weight.mul_(1e5)  # beyond float16
        before = [p.detach().clone() for p in model.parameters()]
        assert self.step(model, NativeScaler(device="cpu")) == 2.0**15
        assert_close([p.detach() for p in model.parameters()], before, rtol=0, atol=0)
        assert all(value.isfinite().all() for value in model.buffers())
