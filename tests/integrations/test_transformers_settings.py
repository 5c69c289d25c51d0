"""Compiling, half precision and activation checkpointing: right, or refused in the first step."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.utils import counters
from transformers import MobileViTConfig, MobileViTForImageClassification

from freqreg import FGSM, FiniteDifference, JaFR, Objective
from freqreg.errors import LowPrecisionError, SecondDerivativeError, SettingError
from tests.integrations.trainer_runs import InOrder, arguments, assert_same, change
from tests.integrations.vision_transformers import CLASSES, Pictures, small_vit

pytestmark = pytest.mark.usefixtures("unchecked_shapes")

EXACT = Objective([JaFR(0.1)])
DIFFERENCES = Objective([JaFR(0.1)], differentiation=FiniteDifference())
MIXED = Objective([JaFR(0.1)], mixer=FGSM())
COMPILED = {"torch_compile": True, "torch_compile_backend": "aot_eager"}
REENTRANT = {"activation_checkpointing_kwargs": {"use_reentrant": True}}


def trained(folder: Path, objective: Objective, model: Any = None, **settings: Any) -> Any:
    """What one step over one or two micro-batches subtracts from each parameter."""
    model = small_vit() if model is None else model
    data = Pictures(8, next(model.parameters()).dtype)
    run = InOrder(model, arguments(folder, **settings), train_dataset=data, objective=objective)
    return change(run)


def test_finite_differences_go_through_the_compiled_model(tmp_path: Path) -> None:
    """Which is not compiled once more to find the loss's factor, under accumulation."""
    graphs: list[int] = []
    for accumulation in (1, 2):
        settings = {"gradient_accumulation_steps": accumulation}
        expected = trained(tmp_path, DIFFERENCES, **settings)
        torch._dynamo.reset()
        before = counters["stats"]["unique_graphs"]
        assert_same(trained(tmp_path, DIFFERENCES, **settings, **COMPILED), expected, 1e-3)
        graphs.append(counters["stats"]["unique_graphs"] - before)
    assert graphs[0] == graphs[1] > 0


def test_exact_gradients_of_a_compiled_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SecondDerivativeError, match=r"torch\.compile.*FiniteDifference\(\)"):
        trained(tmp_path, EXACT, **COMPILED)


def test_exact_gradients_under_bf16_are_those_of_autocast(tmp_path: Path) -> None:
    model, data = small_vit(), Pictures(4)

    def loss_fn(images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images).logits
        return F.cross_entropy(logits.float(), data.labels)

    EXACT(loss_fn, data.images).backward()
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert_same(trained(tmp_path, EXACT, bf16=True), expected, 1e-3)


def test_finite_differences_under_bf16_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LowPrecisionError, match="allow_low_precision=True"):
        trained(tmp_path, DIFFERENCES, bf16=True)


@pytest.mark.parametrize("objective", [EXACT, DIFFERENCES, MIXED], ids=["exact", "fd", "mixed"])
def test_checkpointed_activations_give_the_same_gradients(
    tmp_path: Path, objective: Objective
) -> None:
    gradients, calls = [], []
    for checkpointing in (True, False):
        model = small_vit(hidden_dropout_prob=0.3, num_hidden_layers=2).double()
        in_a_block = next(module for module in model.modules() if isinstance(module, nn.LayerNorm))
        called: list[int] = []
        in_a_block.register_forward_hook(lambda *_, called=called: called.append(1))
        settings = {"activation_checkpointing": checkpointing}
        gradients.append(trained(tmp_path, objective, model, **settings))
        calls.append(len(called))
    assert_same(*gradients)
    assert calls[0] > calls[1] > 0


def test_reentrant_checkpointing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r'activation_checkpointing_kwargs=\{"use_reentrant": False\}'
    ):
        trained(tmp_path, EXACT, activation_checkpointing=True, **REENTRANT)


def small_mobilevit() -> MobileViTForImageClassification:
    """Batch norms within the blocks that are checkpointed."""
    torch.manual_seed(0)
    sizes: Any = {"image_size": 64, "hidden_sizes": [16] * 3, "neck_hidden_sizes": [8] * 7}
    sizes |= {"num_attention_heads": 2, "num_labels": CLASSES}
    config = MobileViTConfig(**sizes)
    config._attn_implementation = "eager"
    return MobileViTForImageClassification(config)


def test_checkpointed_batch_norms_are_refused_where_they_would_be_wrong(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r'BatchNorm2d.*checkpointing.*"every pass"'):
        trained(tmp_path, MIXED, small_mobilevit(), activation_checkpointing=True)
