"""The transformers Trainer with an objective: the same gradients as a loop written out."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Trainer

from freqreg import (
    FGSM,
    Every,
    FiniteDifference,
    InputGradientNorm,
    JaFR,
    Objective,
)
from freqreg.errors import InputError, SecondDerivativeError, SettingError
from freqreg.integrations.transformers import RegularizedTrainer, RegularizedTrainerMixin
from tests.integrations.trainer_runs import InOrder, PlainInOrder, arguments, assert_same, change
from tests.integrations.vision_transformers import CLASSES, Pictures, small_vit

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

OBJECTIVES = {
    "JaFR": Objective([JaFR(0.1)]),
    "FGSM + JaFR": Objective([JaFR(0.1)], mixer=FGSM()),
    "norm": Objective([InputGradientNorm(100.0)]),
}


def trainer(folder: Path, objective: Objective, model: Any = None, **settings: Any) -> Any:
    data = settings.pop("data", None) or Pictures(8, torch.float64)
    extra = {name: settings.pop(name) for name in ("compute_loss_func",) if name in settings}
    return InOrder(
        model or small_vit().double(),
        arguments(folder, **settings),
        train_dataset=data,
        objective=objective,
        **extra,
    )


def by_hand(objective: Objective, criterion: Any, accumulation: int) -> dict[str, Tensor]:
    """The change of one SGD step of rate 1 over micro-batches of four images."""
    model, data = small_vit().double(), Pictures(8, torch.float64)
    torch.manual_seed(42)  # the Trainer's seed
    for rows in torch.arange(4 * accumulation).split(4):
        x, y = data.images[rows], data.labels[rows]
        loss = objective(lambda images, y=y: criterion(model(images).logits, y), x)
        (loss / accumulation).backward()
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("name", ["JaFR", "FGSM + JaFR", "norm"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_step_is_that_of_the_loop_written_out(
    tmp_path: Path, accumulation: int, name: str, smoothing: float
) -> None:
    objective = OBJECTIVES[name]
    run = trainer(
        tmp_path,
        objective,
        gradient_accumulation_steps=accumulation,
        label_smoothing_factor=smoothing,
    )

    def criterion(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, label_smoothing=smoothing)

    expected = by_hand(objective, criterion, accumulation)
    rtol = 1e-5 if smoothing else 1e-8  # the Trainer sums smoothed losses in float32
    assert_same(change(run), expected, rtol)


@pytest.mark.parametrize("counts", [True, False])
def test_a_loss_that_is_scaled_by_the_caller_scales_the_penalty(
    tmp_path: Path, counts: bool
) -> None:
    """Both by the count of images that it is given, and by the micro-batches."""

    def scaled(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        total = F.cross_entropy(outputs.logits, labels, reduction="sum")
        return total / (num_items_in_batch if counts else 8)

    run = trainer(
        tmp_path,
        OBJECTIVES["norm"],
        gradient_accumulation_steps=2,
        compute_loss_func=scaled,
    )
    assert_same(change(run), by_hand(OBJECTIVES["norm"], F.cross_entropy, 2))


def test_regularizers_are_added_to_plain_training(tmp_path: Path) -> None:
    plain, added = (trainer(tmp_path, Objective()) for _ in range(2))
    own = Trainer(
        small_vit().double(), arguments(tmp_path), train_dataset=Pictures(4, torch.float64)
    )
    plain.train_dataset = added.train_dataset = own.train_dataset
    assert added.add_regularizer(OBJECTIVES["norm"].regularizers[0]) is added
    same = change(plain)
    expected = change(own)
    for name in expected:  # in another order of the four images
        torch.testing.assert_close(same[name], expected[name], rtol=1e-8, atol=1e-12)
    assert_same(change(added), by_hand(OBJECTIVES["norm"], F.cross_entropy, 1))


def test_what_is_recorded_is_logged(tmp_path: Path) -> None:
    run = trainer(tmp_path, OBJECTIVES["FGSM + JaFR"])
    run.train()
    logged = run.state.log_history[0]
    assert {"loss", "main_loss", "jafr", "log_b_low"} <= set(logged)
    assert logged["jafr"] == pytest.approx(-logged["log_b_low"])


def test_without_a_regularizer_the_loss_of_the_trainer_is_the_main_loss(tmp_path: Path) -> None:
    run = trainer(tmp_path, Objective(mixer=FGSM()), gradient_accumulation_steps=2)
    run.train()
    assert "loss" in run.state.log_history[0]
    assert "main_loss" not in run.state.log_history[0]


def test_names_that_a_subclass_logs_stay_its_own(tmp_path: Path) -> None:
    class Logging(InOrder):
        """Logs a main loss of its own."""

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            """Add it."""
            super().log(logs | {"main_loss": 7.0}, *args, **kwargs)

    data, model = Pictures(8, torch.float64), small_vit().double()
    settings = {"train_dataset": data, "objective": OBJECTIVES["JaFR"]}
    run = Logging(model, arguments(tmp_path), **settings)
    run.train()
    assert run.state.log_history[0]["main_loss"] == 7
    assert "jafr" in run.state.log_history[0]


def test_evaluation_is_the_trainer_s_own(tmp_path: Path) -> None:
    run = trainer(tmp_path, OBJECTIVES["JaFR"])
    plain = Trainer(run.model, arguments(tmp_path))
    data = Pictures(8, torch.float64)
    assert run.evaluate(data)["eval_loss"] == pytest.approx(plain.evaluate(data)["eval_loss"])


def test_outputs_are_those_of_the_main_pass(tmp_path: Path) -> None:
    data = Pictures(4, torch.float64)
    inputs = {"pixel_values": data.images, "labels": data.labels}
    for objective, images in ((OBJECTIVES["JaFR"], data.images), (OBJECTIVES["FGSM + JaFR"], None)):
        run = trainer(tmp_path, objective)
        run.model.train()
        _, outputs = run.compute_loss(run.model, inputs, return_outputs=True)
        same = torch.equal(outputs.logits, run.model(data.images).logits)
        assert same is (images is not None)


def test_schedules_count_the_trainer_s_steps(tmp_path: Path) -> None:
    run = trainer(tmp_path, Objective([Every(JaFR(0.1), 2)]), max_steps=2)
    run.train()
    first, second = run.state.log_history[:2]
    assert "jafr" in first
    assert "jafr" not in second


def test_fused_attention_is_refused_for_exact_gradients(tmp_path: Path) -> None:
    model = small_vit("sdpa")
    run = trainer(tmp_path, OBJECTIVES["JaFR"], model, data=Pictures(4))
    with pytest.raises(SecondDerivativeError, match=r'attn_implementation="eager"'):
        run.train()
    difference = Objective([JaFR(0.1)], differentiation=FiniteDifference())
    trainer(tmp_path, difference, model, data=Pictures(4)).train()


def test_batches_without_images_are_refused(tmp_path: Path) -> None:
    run = trainer(tmp_path, OBJECTIVES["JaFR"])
    run.model.train()
    with pytest.raises(InputError, match=r"The batch has labels; .*'pixel_values'"):
        run.compute_loss(run.model, {"labels": torch.zeros(4).long()})


def test_a_regularizer_is_no_objective(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no Objective"):
        RegularizedTrainer(small_vit(), arguments(tmp_path), objective=JaFR())  # pyright: ignore[reportArgumentType]


def test_the_mixin_goes_with_other_trainers(tmp_path: Path) -> None:
    class Mine(Trainer):
        """Someone's own."""

    class Regularized(RegularizedTrainerMixin, Mine):
        """With an objective."""

    run = Regularized(
        small_vit().double(),
        arguments(tmp_path),
        train_dataset=Pictures(4, torch.float64),
        objective=OBJECTIVES["JaFR"],
    )
    run.train()
    assert "jafr" in run.state.log_history[0]


def weighted(outputs: Any, labels: Tensor) -> Tensor:
    return F.cross_entropy(outputs.logits, labels, weight=torch.linspace(0.5, 2, CLASSES).double())


class Weighted(InOrder):
    """As the Trainer's documentation overrides it."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = weighted(outputs, labels)
        return (loss, outputs) if return_outputs else loss


class WeightedAnyhow(InOrder):
    """With what else the Trainer may give."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):  # pyright: ignore[reportIncompatibleMethodOverride]
        return Weighted.compute_loss(self, model, inputs, return_outputs)  # pyright: ignore[reportArgumentType]


class PlainWeighted(PlainInOrder):
    """Not regularized yet."""

    compute_loss = Weighted.compute_loss


class PlainWeightedAnyhow(PlainInOrder):
    """Not regularized yet."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):  # pyright: ignore[reportIncompatibleMethodOverride]
        return Weighted.compute_loss(self, model, inputs, return_outputs)  # pyright: ignore[reportArgumentType]


class OutputsAlone(InOrder):
    """Takes the model's outputs from the mixin, and a loss of its own."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs["labels"]
        super().compute_loss(model, inputs, return_outputs=True)
        return weighted(model(inputs["pixel_values"]), labels)


class AtFirst(InOrder):
    """Asks for the objective in the first step alone."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.state.global_step:
            return Weighted.compute_loss(self, model, inputs, return_outputs)  # pyright: ignore[reportArgumentType]
        return super().compute_loss(model, inputs, return_outputs, **kwargs)


class OwnStep(InOrder):
    """A step of its own."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        model(**inputs).loss.backward()
        return torch.zeros(())


class TestOverriddenLoss:
    """A subclass's loss is regularized, or refused before the first update."""

    def run(self, kind: type, folder: Path, objective: Objective, model: Any = None) -> Any:
        data = Pictures(8, torch.float64)
        model = model or small_vit().double()
        return kind(model, arguments(folder), train_dataset=data, objective=objective)

    @pytest.mark.parametrize("objective", [OBJECTIVES["JaFR"], Objective(mixer=FGSM())], ids=str)
    @pytest.mark.parametrize("kind", [Weighted, WeightedAnyhow, OutputsAlone, OwnStep])
    def test_what_goes_around_the_objective_is_refused(
        self, kind: type, objective: Objective, tmp_path: Path
    ) -> None:
        class Below(kind): ...

        run = self.run(Below, tmp_path, objective)
        before = {name: value.clone() for name, value in run.model.named_parameters()}
        method = "training_step" if kind is OwnStep else "compute_loss"
        with pytest.raises(SettingError, match=rf"^{kind.__name__}\.{method} computed .*super\(\)"):
            run.train()
        assert_same(dict(run.model.named_parameters()), before, 0.0)

    def test_each_update_needs_the_objective(self, tmp_path: Path) -> None:
        data, objective = Pictures(8, torch.float64), OBJECTIVES["JaFR"]
        settings = arguments(tmp_path, max_steps=2)
        run = AtFirst(small_vit().double(), settings, train_dataset=data, objective=objective)
        with pytest.raises(SettingError, match=r"^AtFirst\.compute_loss computed"):
            run.train()
        assert run.state.global_step == 1

    @pytest.mark.parametrize("kind", [Weighted, WeightedAnyhow, OwnStep])
    def test_without_objective_it_trains_and_with_one_it_evaluates(
        self, kind: type, tmp_path: Path
    ) -> None:
        self.run(kind, tmp_path, Objective()).train()
        run, data = self.run(kind, tmp_path, OBJECTIVES["JaFR"]), Pictures(8, torch.float64)
        assert "eval_loss" in run.evaluate(data)
        assert run.predict(data).predictions.shape == (8, CLASSES)

    @pytest.mark.parametrize("plain", [PlainWeighted, PlainWeightedAnyhow])
    def test_a_mixin_before_the_loss_regularizes_it(self, plain: type, tmp_path: Path) -> None:
        class Mixed(RegularizedTrainerMixin, plain): ...

        change_of = change(self.run(Mixed, tmp_path, OBJECTIVES["JaFR"]))
        weight = torch.linspace(0.5, 2, CLASSES).double()
        expected = by_hand(
            OBJECTIVES["JaFR"], lambda logits, y: F.cross_entropy(logits, y, weight=weight), 1
        )
        assert_same(change_of, expected)

    def test_a_loss_that_calls_the_mixin_s_is_regularized(self, tmp_path: Path) -> None:
        class Doubled(InOrder):
            def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
                return 2 * super().compute_loss(*args, **kwargs)

        found = change(self.run(Doubled, tmp_path, OBJECTIVES["JaFR"]))
        once = by_hand(OBJECTIVES["JaFR"], F.cross_entropy, 1)
        assert_same(found, {name: 2 * value for name, value in once.items()})

    def test_a_mixin_after_a_trainer_is_refused(self) -> None:
        with pytest.raises(SettingError, match=r"Late\(RegularizedTrainerMixin, PlainWeighted\)"):

            class Late(PlainWeighted, RegularizedTrainerMixin): ...

    def test_a_model_that_stays_in_eval_mode_is_regularized(self, tmp_path: Path) -> None:
        model = small_vit().double().eval()
        model.train = lambda mode=True: model
        found = change(self.run(InOrder, tmp_path, OBJECTIVES["JaFR"], model))
        assert_same(found, by_hand(OBJECTIVES["JaFR"], F.cross_entropy, 1))
