"""What a run of the trainer computes, against loops written out in plain torch."""

import importlib
import sys
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from accelerate_setting import (
    BATCH,
    IMAGES,
    assert_identical,
    data,
    dropout_net,
    fresh_accelerate,  # noqa: F401
    fresh_state,
    jitter,
    linear_net,
    trained,
    trainer,
    weights,
)
from safetensors.torch import load_file
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR, ReduceLROnPlateau, StepLR
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from freqreg import ELLE, FGSM, Every, FiniteDifference, JaFR, Objective, _allocator
from freqreg.errors import InputError, SettingError
from freqreg.integrations.accelerate import Trainer

STEPS = 21  # 3 epochs of 7 batches
RATES = [0.2 * min(s / 7, (21 - s) / 14) for s in range(1, STEPS + 1)]


def written_out(net: nn.Module, *, rates: list[float], clip: float | None = None) -> Any:
    """Plain torch: SGD with momentum over the batches in order."""
    pixels, targets = data()[:]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
    starts = list(range(0, IMAGES, BATCH))
    for step, rate in enumerate(rates):
        start = starts[step % len(starts)]
        x, y = pixels[start : start + BATCH].float() / 255, targets[start : start + BATCH]
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    return net.state_dict()


@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_plain_run_is_the_written_out_loop(clip: float | None) -> None:
    ours = trained(shuffle=False, max_grad_norm=clip)
    torch.manual_seed(0)
    expected = written_out(dropout_net(), rates=RATES, clip=clip)
    torch.testing.assert_close(weights(ours), dict(expected))


def test_accumulation_equals_larger_batches() -> None:
    joined = trained(net=linear_net, shuffle=False, images=24, batch=2 * BATCH)
    fresh_state()
    apart = trainer(net=linear_net, shuffle=False, images=24, accumulated=2)
    before = weights(apart)
    apart.train()
    torch.testing.assert_close(weights(apart), weights(joined))
    assert not torch.equal(weights(apart)["1.weight"], before["1.weight"])


def test_streamed_equals_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective([JaFR(0.1)], differentiation=FiniteDifference())
    summed = trained(objective=objective, epochs=1)
    losses: list[Tensor] = []
    backward = Accelerator.backward
    monkeypatch.setattr(
        Accelerator, "backward", lambda self, loss: [losses.append(loss), backward(self, loss)]
    )
    streamed = trained(objective=objective, streamed=True, epochs=1)
    assert len(losses) > 7  # more than one for each batch
    torch.testing.assert_close(weights(streamed), weights(summed), rtol=1e-4, atol=1e-5)


def test_a_criterion_of_one_loss_per_image_trains_its_mean_and_serves_penalties() -> None:
    each = partial(F.cross_entropy, reduction="none")
    torch.testing.assert_close(weights(trained(criterion=each)), weights(trained()))
    objective = Objective([ELLE(100.0)], FGSM())
    summed = trained(objective=objective, criterion=each, epochs=1)
    streamed = trained(objective=objective, criterion=each, epochs=1, streamed=True)
    assert summed.progress.history[-1]["elle"] > 0
    torch.testing.assert_close(weights(streamed), weights(summed), rtol=1e-4, atol=1e-5)


def test_an_added_regularizer_is_one_of_the_objective() -> None:
    added = trainer()
    assert added.add_regularizer(JaFR(0.3)) is added
    added.train()
    given = trained(objective=Objective([JaFR(0.3)]))
    assert_identical(weights(added), weights(given))
    assert "log_b_low" in added.progress.history[-1]


class NotingObjective(Objective):
    """Notes the steps that it is told."""

    seen: ClassVar[list[int | None]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(kwargs.get("step"))
        return super().__call__(*args, **kwargs)


def test_micro_batches_share_the_optimizer_step() -> None:
    NotingObjective.seen.clear()
    trainer(objective=NotingObjective(), accumulated=3, epochs=2).train()
    assert NotingObjective.seen == [0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 5]


def test_a_subclass_sets_the_objective_of_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduled = trained(objective=Objective([Every(JaFR(0.0625), steps=4)]))
    monkeypatch.setattr(
        Trainer,
        "objective_at",
        lambda _, step: Objective([JaFR(0.25)] if step % 4 == 0 else []),
    )
    assert_identical(weights(trained()), weights(scheduled))


def test_a_subclass_that_leaves_the_objective_out_is_refused() -> None:
    class Plain(Trainer):
        def losses(self, x: Tensor, y: Tensor) -> list[Tensor]:
            return [self.loss_of(y)(x)]

    ours = Plain(linear_net(), torch.optim.SGD(linear_net().parameters()), DataLoader(data()), 1)
    with pytest.raises(SettingError, match=r"Plain\.losses has not minimised"):
        ours.add_regularizer(JaFR(1000.0)).train()


def test_a_subclass_acts_after_each_optimizer_step(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[tuple[int, int]] = []
    monkeypatch.setattr(
        Trainer, "after_step", lambda self: met.append((self.progress.step, self.progress.batch))
    )
    trainer(accumulated=3, epochs=2).train()
    assert met == [(1, 3), (2, 6), (3, 7), (4, 3), (5, 6), (6, 7)]


def test_images_are_in_the_unit_range_and_augmentation_repeats() -> None:
    inputs: list[Tensor] = []
    draws: list[Tensor] = []

    def note(x: Tensor, generator: torch.Generator) -> Tensor:
        inputs.append(x)
        draws.append(torch.rand(2, generator=generator))
        return x

    for seed in (0, 0, 1):
        trainer(augment=note, epochs=2, seed=seed).train()
    assert all(x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1 for x in inputs)
    assert max(x.max() for x in inputs) > 0.9
    first, second, other = torch.stack(draws).chunk(3)
    assert torch.equal(first, second)
    assert not torch.isclose(first, other).any()
    assert len(first.unique(dim=0)) == 14  # no two batches alike


def test_augmentation_reaches_the_model() -> None:
    plain, augmented = trained(epochs=1), trained(epochs=1, augment=jitter)
    assert not torch.equal(weights(plain)["0.weight"], weights(augmented)["0.weight"])


def test_a_scheduler_of_the_users_is_stepped_once_a_step() -> None:
    model = linear_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    ours = Trainer(
        model,
        optimizer,
        DataLoader(data(), batch_size=BATCH),
        2,
        accelerator=Accelerator(cpu=True, gradient_accumulation_steps=2),
        scheduler=StepLR(optimizer, step_size=1, gamma=0.5),
    )
    ours.train()
    assert optimizer.param_groups[0]["lr"] == 0.5**8


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("scheduler", "missing"),
    [(ReduceLROnPlateau, "metrics"), (partial(CosineLRScheduler, t_initial=3), "epoch")],
)
def test_schedulers_that_need_more_than_a_step_are_refused(scheduler: Any, missing: str) -> None:
    optimizer = torch.optim.SGD(linear_net().parameters(), lr=1.0)
    message = rf"step needs {missing}.*ConstantLR.*evaluate"
    with pytest.raises(SettingError, match=message):
        trainer(scheduler=scheduler(optimizer))


def test_a_plateau_may_be_stepped_where_its_metric_is_known() -> None:
    model = linear_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    Trainer(
        model,
        optimizer,
        DataLoader(data(), batch_size=BATCH),
        3,
        accelerator=Accelerator(cpu=True),
        scheduler=ConstantLR(optimizer, factor=1.0),
        evaluate=lambda _: [plateau.step(1.0), {}][1],
    ).train()
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_evaluation_sees_eval_mode_and_leaves_training_alone() -> None:
    modes: list[bool] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        modes.append(model.training)
        torch.rand(5)
        return {"accuracy": len(modes) / 10}

    plain, evaluated = trained(), trained(evaluate=evaluate)
    assert modes == [False] * 3
    assert [entry["accuracy"] for entry in evaluated.progress.history] == [0.1, 0.2, 0.3]
    assert_identical(weights(evaluated), weights(plain))


def test_the_weights_are_a_plain_safetensors_file(tmp_path: Path) -> None:
    ours = trained(output_dir=tmp_path)
    other = dropout_net()
    other.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert_identical(dict(other.state_dict()), weights(ours))
    assert not list(tmp_path.glob("*.tmp"))


class DivergingLoss:
    """NaN from some call to another."""

    def __init__(self, *, first: int, last: int) -> None:
        self.calls, self.diverging = 0, range(first, last + 1)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        scale = float("nan") if self.calls in self.diverging else 1.0
        return F.cross_entropy(logits, targets) * scale


@pytest.mark.parametrize("objective", [JaFR(), [JaFR()], Objective])
def test_an_objective_that_is_none(objective: Any, unchecked_shapes: None) -> None:
    with pytest.raises(SettingError, match=r"is no Objective.*Objective\(\[JaFR"):
        trainer(objective=objective)


def test_batches_that_are_no_pairs() -> None:
    net, rows = linear_net(), [{"image": torch.rand(3, 8, 8), "label": 0}] * 4
    loader = DataLoader(rows, 2, shuffle=True)  # pyright: ignore[reportArgumentType]
    wrong = Trainer(net, torch.optim.SGD(net.parameters(), lr=0.1), loader, epochs=1)
    with pytest.raises(InputError, match=r"a dict with image, label.*pairs.*collate_fn"):
        wrong.train()


def test_divergence_is_an_error() -> None:
    ours = trainer(criterion=DivergingLoss(first=9, last=9), log_every=2)
    with pytest.raises(FloatingPointError, match=r"main_loss = nan in the steps up to 10.* rate"):
        ours.train()


def test_a_scaler_gets_over_some_steps_but_not_over_all() -> None:
    passing = trained(criterion=DivergingLoss(first=3, last=4), log_every=2, scaler=True)
    assert all(value.isfinite().all() for value in weights(passing).values())
    fresh_state()
    with pytest.raises(FloatingPointError):
        trainer(criterion=DivergingLoss(first=3, last=99), log_every=2, scaler=True).train()


class Tracker(GeneralTracker):
    """Keeps what is logged."""

    name = "kept"
    requires_logging_directory = False
    tracker = None

    def __init__(self) -> None:
        super().__init__()
        self.logged: list[tuple[int | None, dict[str, float]]] = []

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        pass

    def log(self, values: dict[str, float], step: int | None = None, **_: Any) -> None:
        self.logged.append((step, values))


def test_trackers_get_the_means_and_the_results() -> None:
    tracker = Tracker()
    accelerator = Accelerator(cpu=True, log_with=tracker)
    accelerator.init_trackers("test")
    trainer(
        accelerator=accelerator,
        objective=Objective([Every(JaFR(0.1), steps=3)]),
        evaluate=lambda model: {"accuracy": 0.5},
        epochs=1,
        log_every=1,
    ).train()
    steps, values = zip(*tracker.logged, strict=True)
    assert steps == (1, 2, 3, 4, 5, 6, 7, 7)
    assert ["jafr" in v for v in values] == [True, False, False, True, False, False, True, False]
    assert values[0].keys() == {"main_loss", "jafr", "log_b_low", "learning_rate"}
    assert values[-1] == {"accuracy": 0.5}


def test_what_is_logged_is_the_mean_since_the_last_time() -> None:
    def losses(log_every: int) -> list[float]:
        fresh_state()
        tracker = Tracker()
        accelerator = Accelerator(cpu=True, log_with=tracker)
        accelerator.init_trackers("test")
        trained(accelerator=accelerator, epochs=1, log_every=log_every)
        return [values["main_loss"] for _, values in tracker.logged]

    each, thirds = losses(1), losses(3)
    assert thirds == pytest.approx([sum(each[0:3]) / 3, sum(each[3:6]) / 3, each[6]])


class CountReads(TorchDispatchMode):
    """Counts what waits for a device: values read into Python."""

    reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_steps_do_not_wait_for_the_device() -> None:
    def reads(epochs: int) -> int:
        objective = Objective([JaFR(0.1)], FGSM(), verify=False)  # which reads at the first step
        ours = trainer(objective=objective, epochs=epochs, max_grad_norm=1.0)
        with CountReads() as mode:
            ours.train()
        return mode.reads

    a_run, an_epoch = reads(1), reads(2) - reads(1)
    assert an_epoch <= a_run <= 7  # not one for each of the seven steps of an epoch
    assert an_epoch <= 4


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("name", ["epochs", "checkpoint_every", "log_every"])
@pytest.mark.parametrize("value", [0, -1, 2.5])
def test_counts_are_whole_and_at_least_one(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"{name} is {value}; it must be a whole number"):
        trainer(**{name: value})


def test_a_loader_without_a_batch_is_no_training() -> None:
    model = linear_net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(SettingError, match="yields no batch"):
        Trainer(model, optimizer, DataLoader(data(3), batch_size=4, drop_last=True), 1)


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "freqreg.integrations.accelerate"
    for name in [module, "freqreg.integrations._meter"]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"freqreg\[accelerate\]"):
        importlib.import_module(module)


@pytest.mark.parametrize("keep", [True, False])
def test_freed_memory_is_kept_unless_told_otherwise(
    keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[torch.device] = []
    monkeypatch.setattr(_allocator, "keep_freed_memory", devices.append)
    ours = trainer(epochs=1, keep_freed_memory=keep)
    assert not devices
    ours.train()
    assert devices == [torch.device("cpu")] * keep
