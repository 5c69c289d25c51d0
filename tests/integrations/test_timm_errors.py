"""What cannot work with a training task of timm says so at the first step, or before."""

# pyright: reportPrivateImportUsage=false, reportArgumentType=false

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.data import create_dataset, create_naflex_loader
from timm.task import ClassificationTask
from torch import nn

from freqreg import FGSM, Every, FiniteDifference, JaFR, Objective, Warmup
from freqreg.errors import (
    InputError,
    KinkedActivationWarning,
    LowPrecisionError,
    SecondDerivativeError,
    SettingError,
)
from freqreg.integrations.timm import regularize
from tests.fresh_imports import imported_anew
from tests.integrations.timm_parts import batch, grads_of, network, task_of, write_images

pytestmark = [
    pytest.mark.usefixtures("unchecked_shapes"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # timm's readers
]

DIFFERENCE = Objective([JaFR()], differentiation=FiniteDifference())


def task_around(model: nn.Module, objective: Objective) -> Any:
    return regularize(ClassificationTask(model, verbose=False), objective)


def test_naflex_batches_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path)
    dataset = create_dataset("", root=str(tmp_path), split="train", is_training=True)
    loader = create_naflex_loader(
        dataset,
        patch_size=16,
        train_seq_lens=(4,),
        max_seq_len=4,
        batch_size=8,
        is_training=True,
        num_workers=0,
        pin_memory=False,
        device=torch.device("cpu"),
    )
    x, y = next(iter(loader))
    model = network("naflexvit_base_patch16_gap", embed_dim=32, depth=1, num_heads=2)
    task = ClassificationTask(model, verbose=False)
    assert task(x, y)["loss"].isfinite()
    with pytest.raises(InputError, match=r"NaFlex \(patches.*without --naflex-loader"):
        regularize(task, Objective([JaFR()]))(x, y)


def test_a_task_is_regularized_once() -> None:
    task = regularize(task_of("ClassificationTask"), Objective([JaFR()]))
    with pytest.raises(SettingError, match=r"regularized already.*task\.add_regularizer"):
        regularize(task, Objective([JaFR()]))


@pytest.mark.parametrize("given", [nn.Flatten(), None, "resnet10t"], ids=str)
def test_only_tasks_can_be_regularized(given: Any) -> None:
    with pytest.raises(SettingError, match=r"no training task.*ClassificationTask\(model\)"):
        regularize(given, Objective([JaFR()]))


def test_compiled_tasks_come_too_late() -> None:
    compiled: Any = torch.compile(task_of("ClassificationTask"), backend="aot_eager")
    with pytest.raises(SettingError, match=r"OptimizedModule.*before torch\.compile"):
        regularize(compiled, Objective([JaFR()]))


def test_a_regularizer_is_no_objective() -> None:
    given: Any = JaFR()
    with pytest.raises(SettingError, match=r"give e\.g\. Objective\(\[JaFR"):
        regularize(task_of("ClassificationTask"), given)


@pytest.mark.parametrize("schedule", [Every(JaFR(), 2), Warmup(JaFR(), 2)], ids=repr)
def test_schedules_need_the_step(schedule: Any) -> None:
    task = regularize(task_of("ClassificationTask"), Objective([schedule]))
    x, y = batch(dtype=torch.float64)
    with pytest.raises(SettingError, match=r"task\(input, target, step=num_updates\)"):
        task(x, y)
    with torch.no_grad():
        assert task(x, y)["loss"].isfinite()


def test_fused_attention_has_no_second_derivative() -> None:
    model = network("test_vit", img_size=32, patch_size=8)
    x, y = batch()
    with pytest.raises(SecondDerivativeError, match=r"module\.fused_attn = False"):
        task_around(model, Objective([JaFR()]))(x, y)
    assert grads_of(model, task_around(model, DIFFERENCE)(x, y)["loss"]).isfinite().all()
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    loss = task_around(model, Objective([JaFR()]))(x, y)["loss"]
    assert grads_of(model, loss).isfinite().all()


def test_compiled_parts_have_no_second_derivative() -> None:
    task = task_around(
        nn.Sequential(nn.Flatten(), nn.Linear(3072, 5), nn.GELU()), Objective([JaFR()])
    )
    task.compile(backend="aot_eager")
    x, y = batch()
    with pytest.raises(SecondDerivativeError, match=r"FiniteDifference\(\)"):
        task(x, y)


def test_finite_differences_drown_in_half_precision() -> None:
    x, y = batch()
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(LowPrecisionError, match="Turn autocast off"),
    ):
        task_around(network(), DIFFERENCE)(x, y)


def test_finite_differences_across_kinks_warn() -> None:
    x, y = batch()
    model = network("resnet10t", zero_init_last=False)
    with pytest.warns(KinkedActivationWarning, match="such as GELU"):
        task_around(model, DIFFERENCE)(x, y)


def test_normalised_images_of_a_model_that_does_not_say_how() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 5), nn.GELU())
    x, y = batch()
    with pytest.raises(InputError, match=r"pixels=PixelSpace\(mean, std\)"):
        task_around(model, Objective(mixer=FGSM()))(x, y)


@pytest.mark.parametrize("missing", ["timm", "timm.task"])
def test_without_its_package_it_names_the_extra(missing: str) -> None:
    with (
        imported_anew("freqreg.integrations.timm", missing=missing),
        pytest.raises(ImportError, match=r'pip install --upgrade "freqreg\[timm\]"'),
    ):
        import_module("freqreg.integrations.timm")
