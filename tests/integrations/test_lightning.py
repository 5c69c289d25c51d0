"""Lightning with an objective: the same gradients as a loop written out."""

import functools
from collections import UserDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MaxMetric, MeanMetric, MetricCollection, MinMetric
from transformers import BatchFeature

from freqreg import FGSM, Every, InputGradientNorm, JaFR, Objective
from freqreg.errors import InputError, SecondDerivativeError, SettingError
from freqreg.integrations.lightning import RegularizerCallback
from tests.integrations.process_parts import FixedELLE
from tests.integrations.vision_transformers import Pictures, small_vit

pytestmark = [
    pytest.mark.usefixtures("unchecked_shapes"),
    pytest.mark.filterwarnings("ignore::Warning"),  # Lightning's advice on workers and loggers
]

OBJECTIVES = {
    "JaFR": Objective([JaFR(0.1)]),
    "FGSM + JaFR": Objective([JaFR(0.1)], mixer=FGSM()),
    "norm": Objective([InputGradientNorm(100.0)]),
}


class Pair(NamedTuple):
    """Images and labels."""

    images: Tensor
    labels: Tensor


class Rows(list):
    """A list with a name."""


class Held(UserDict):
    """A mapping that holds its values in a dict of its own."""


class Fixed(Mapping):
    """A mapping that cannot be changed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


KINDS: dict[Any, Any] = {
    tuple: lambda x, y: (x, y),
    list: lambda x, y: [x, y],
    Rows: lambda x, y: Rows([x, y]),
    Pair: Pair,
}
MAPPINGS = dict, Held, Fixed, BatchFeature


class Classifier(L.LightningModule):
    """As people write them."""

    def __init__(self, attention: str = "eager", batch: type = list, result: Any = Tensor) -> None:
        super().__init__()
        self.net = small_vit(attention)
        self.kind, self.result = batch, result
        self.seen = MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        assert type(batch) is self.kind
        x, y = batch.values() if isinstance(batch, Mapping) else batch
        loss = F.cross_entropy(self.net(x).logits, y)
        self.log("train_loss", loss)
        self.seen(loss)
        return loss if self.result is Tensor else self.result({"loss": loss, "idx": batch_idx})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def batches(kind: type = list, dtype: torch.dtype = torch.float64) -> DataLoader:
    data = Pictures(8, dtype)
    pairs = list(zip(data.images, data.labels, strict=True))

    def collate(rows: list[tuple[Tensor, Tensor]]) -> Any:
        x, y = map(torch.stack, zip(*rows, strict=True))
        return kind({"x": x, "y": y}) if kind in MAPPINGS else KINDS[kind](x, y)

    return DataLoader(pairs, batch_size=4, collate_fn=collate)  # pyright: ignore[reportArgumentType]


def fit(folder: Path, module: Any, callback: Any, loader: Any = None, **settings: Any) -> Any:
    settings = {"max_steps": 1, "accelerator": "cpu", "logger": False, **settings}
    trainer = L.Trainer(
        default_root_dir=folder,
        callbacks=callback if isinstance(callback, list) else [callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(module, loader or batches())
    return trainer


def parameters(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def assert_same_change(module: Any, before: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, value in parameters(module).items():
        if name in expected:
            torch.testing.assert_close(before[name] - value, expected[name], rtol=1e-8, atol=1e-12)


def by_hand(objective: Objective, accumulation: int) -> dict[str, Tensor]:
    """Gradients of one step over micro-batches of four images."""
    net, data = small_vit().double(), Pictures(8, torch.float64)
    for rows in torch.arange(4 * accumulation).split(4):
        x, y = data.images[rows], data.labels[rows]
        loss = objective(lambda images, y=y: F.cross_entropy(net(images).logits, y), x)
        (loss / accumulation).backward()
    grads = {f"net.{name}": value.grad for name, value in net.named_parameters()}
    return {name: grad for name, grad in grads.items() if grad is not None}


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_is_that_of_the_loop_written_out(
    tmp_path: Path, name: str, accumulation: int
) -> None:
    module = Classifier().double()
    before = parameters(module)
    callback = RegularizerCallback(OBJECTIVES[name])
    fit(tmp_path, module, callback, accumulate_grad_batches=accumulation)
    assert_same_change(module, before, by_hand(OBJECTIVES[name], accumulation))


@pytest.mark.parametrize(
    ("kind", "result"),
    [*((kind, Tensor) for kind in (*KINDS, *MAPPINGS)), *((tuple, kind) for kind in MAPPINGS)],
)
def test_batches_and_results_keep_their_type(tmp_path: Path, kind: type, result: type) -> None:
    module = Classifier(batch=kind, result=result).double()
    before = parameters(module)
    place = "x" if kind in MAPPINGS else 0
    callback = RegularizerCallback(images=place).add_regularizer(JaFR(0.1))
    fit(tmp_path, module, callback, batches(kind))
    assert_same_change(module, before, by_hand(OBJECTIVES["JaFR"], 1))


class OfImages(Classifier):
    """Returns one loss per image."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x, y = batch
        return F.cross_entropy(self.net(x).logits, y, reduction="none")


def test_losses_of_images_reach_the_objective(tmp_path: Path) -> None:
    module, objective = OfImages().double(), Objective([FixedELLE(1e3)], FGSM())
    before, data = parameters(module), Pictures(8, torch.float64)
    fit(tmp_path, module, RegularizerCallback(objective))
    net, x, y = small_vit().double(), data.images[:4], data.labels[:4]
    objective(lambda images: F.cross_entropy(net(images).logits, y, reduction="none"), x).backward()
    grads = {f"net.{name}": value.grad for name, value in net.named_parameters()}
    expected = {name: grad for name, grad in grads.items() if grad is not None}
    assert_same_change(module, before, expected)


def counted(step: Any) -> Any:
    """A decorator as people write them."""

    @functools.wraps(step)
    def training_step(*args: Any, **kwargs: Any) -> Any:
        return step(*args, **kwargs)

    return training_step


class WithoutIndex(Classifier):
    """Asks for the batch alone."""

    def training_step(self, batch: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The loss."""
        return super().training_step(batch, 0)


class DecoratedWithoutIndex(WithoutIndex):
    """Asks for it through a decorator."""

    training_step = counted(WithoutIndex.training_step)


class DecoratedWithIndex(Classifier):
    """Asks for both through a decorator."""

    training_step = counted(Classifier.training_step)


class WithAnyArguments(Classifier):
    """Takes what it is given."""

    def training_step(self, *args: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The loss."""
        batch, index = args
        return super().training_step(batch, index)


@pytest.mark.parametrize(
    "kind", [WithoutIndex, DecoratedWithoutIndex, DecoratedWithIndex, WithAnyArguments]
)
def test_training_steps_get_the_arguments_that_they_ask_for(tmp_path: Path, kind: Any) -> None:
    module = kind().double()
    before = parameters(module)
    fit(tmp_path, module, RegularizerCallback(OBJECTIVES["JaFR"]))
    assert_same_change(module, before, by_hand(OBJECTIVES["JaFR"], 1))


def test_a_training_step_of_the_instance_is_given_back(tmp_path: Path) -> None:
    module = Classifier().double()
    before = parameters(module)
    own = module.training_step = counted(module.training_step)
    fit(tmp_path, module, RegularizerCallback(OBJECTIVES["JaFR"]))
    assert_same_change(module, before, by_hand(OBJECTIVES["JaFR"], 1))
    assert module.training_step is own


def test_a_second_fit_is_regularized_once(tmp_path: Path) -> None:
    module, callback = Classifier().double(), RegularizerCallback(OBJECTIVES["JaFR"])
    fit(tmp_path, module, callback)
    module.load_state_dict(Classifier().double().state_dict())
    before = parameters(module)
    fit(tmp_path, module, callback)
    assert_same_change(module, before, by_hand(OBJECTIVES["JaFR"], 1))


def test_two_callbacks_are_refused(tmp_path: Path) -> None:
    module = Classifier().double()
    both = [RegularizerCallback(OBJECTIVES["JaFR"]), RegularizerCallback(OBJECTIVES["norm"])]
    with pytest.raises(SettingError, match=r"2 RegularizerCallbacks.*JaFR.*add_regularizer"):
        fit(tmp_path, module, both)
    assert "training_step" not in vars(module)


@pytest.mark.parametrize("name", ["JaFR", "FGSM + JaFR"])
def test_logs_and_metrics_are_of_the_main_pass(tmp_path: Path, name: str) -> None:
    module = Classifier().double()
    trainer = fit(tmp_path, module, RegularizerCallback(OBJECTIVES[name]))
    logged = trainer.callback_metrics
    assert {"train_loss", "freqreg/jafr", "freqreg/log_b_low"} <= set(logged)
    assert logged["train_loss"] == pytest.approx(logged["freqreg/main_loss"])
    assert module.seen.compute() == pytest.approx(logged["freqreg/main_loss"])
    assert not {"log", "log_dict", "training_step"} & set(vars(module))


class Collecting(Classifier):
    """Its metrics are in collections: one that is updated, one that is called."""

    def __init__(self) -> None:
        super().__init__()
        self.updated = MetricCollection([MinMetric(), MaxMetric()])
        self.called = self.updated.clone(prefix="train_")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.updated.update(loss)
        assert set(self.called(loss)) == {"train_MinMetric", "train_MaxMetric"}
        return loss


@pytest.mark.parametrize("name", OBJECTIVES)
def test_collections_of_metrics_are_of_the_main_pass(tmp_path: Path, name: str) -> None:
    """Whichever pass comes first, metrics that differ are not grouped as if they agreed."""
    module = Collecting().double()
    logged = fit(tmp_path, module, RegularizerCallback(OBJECTIVES[name])).callback_metrics
    for value in (*module.updated.compute().values(), *module.called.compute().values()):
        assert value == pytest.approx(logged["freqreg/main_loss"])
    assert len(module.updated.compute_groups) == 2


class Listening(Classifier):
    """Keeps what is logged, and at which step."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, str]] = []

    def log(self, name: str, *_: Any, **__: Any) -> None:
        """Keep the name."""
        self.heard.append((self.global_step, name))


def test_schedules_count_optimizer_steps(tmp_path: Path) -> None:
    module = Listening().double()
    callback = RegularizerCallback(Objective([Every(JaFR(0.1), 2)]))
    fit(tmp_path, module, callback, max_steps=3)
    assert [step for step, name in module.heard if name == "freqreg/jafr"] == [0, 2]
    assert [step for step, name in module.heard if name == "train_loss"] == [0, 1, 2]


def test_fused_attention_is_refused_and_the_module_left_as_it_was(tmp_path: Path) -> None:
    module = Classifier("sdpa")
    with pytest.raises(SecondDerivativeError, match="FiniteDifference"):
        fit(tmp_path, module, RegularizerCallback(OBJECTIVES["JaFR"]), batches(dtype=torch.float32))
    assert not {"log", "training_step"} & set(vars(module))


class Manual(Classifier):
    """Optimizes by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class Skipping(Classifier):
    """Skips every batch."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("module", "place", "error", "message"),
    [
        (Manual, 0, SettingError, "automatic_optimization = False"),
        (Skipping, 0, SettingError, "returned NoneType without a loss"),
        (Classifier, "images", InputError, r"has no tensor of images at 'images'"),
        (Classifier, 5, InputError, r"has no tensor of images at 5"),
    ],
)
def test_what_cannot_work_is_refused(
    tmp_path: Path, module: Any, place: Any, error: type[Exception], message: str
) -> None:
    callback = RegularizerCallback(OBJECTIVES["JaFR"], images=place)
    with pytest.raises(error, match=message):
        fit(tmp_path, module().double(), callback)


def test_a_regularizer_is_no_objective() -> None:
    given: Any = JaFR()
    with pytest.raises(SettingError, match="no Objective"):
        RegularizerCallback(given)


def test_a_step_that_is_replaced_after_the_start_is_refused(tmp_path: Path) -> None:
    class Switched(Classifier):
        def on_train_epoch_start(self) -> None:
            self.training_step = self.second

        def second(self, batch: Any, batch_idx: int) -> Tensor:
            return F.cross_entropy(self.net(batch[0]).logits, batch[1])

    module = Switched()
    before = {name: value.clone() for name, value in module.named_parameters()}
    with pytest.raises(SettingError, match="its training_step was replaced"):
        fit(tmp_path, module, RegularizerCallback(OBJECTIVES["JaFR"]))
    assert all(torch.equal(before[name], value) for name, value in module.named_parameters())
    fit(tmp_path, Switched(), RegularizerCallback(Objective()))
