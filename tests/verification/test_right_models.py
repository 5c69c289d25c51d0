"""Right models cause no error and no warning."""

from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import FGSM, DoubleBackprop, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.differentiation import Differentiation
from freqreg.errors import (
    KinkedActivationWarning,
)
from tests.verification.models import DIFFERENTIATIONS, batch, net, step

RIGHT: dict[str, Callable[[], nn.Module]] = {
    **{
        type(layer).__name__: lambda layer=layer: net(layer)
        for layer in (
            *(nn.SiLU(), nn.Tanh(), nn.Dropout(0.3), nn.BatchNorm2d(8), nn.GroupNorm(2, 8)),
            *(nn.InstanceNorm2d(8), nn.MaxPool2d(1), nn.Softplus(), nn.Mish(), nn.LayerNorm(16)),
        )
    },
    **{
        name: lambda name=name: timm.create_model(name, num_classes=8)
        for name in (
            *("resnet10t", "mobilenetv3_small_050", "efficientnet_lite0", "regnetx_002"),
            *("convnext_atto", "repvgg_a0", "ghostnet_050", "mobilenetv2_035", "lcnet_035"),
        )
    },
    "attention of 32_pixels": lambda: timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=3, num_classes=8
    ),
}


@pytest.mark.filterwarnings(f"ignore::{KinkedActivationWarning.__module__}.KinkedActivationWarning")
@pytest.mark.parametrize("differentiation", DIFFERENTIATIONS, ids=repr)
@pytest.mark.parametrize("name", RIGHT)
def test_right_models_are_silent(name: str, differentiation: Differentiation) -> None:
    torch.manual_seed(0)
    model = RIGHT[name]().train()
    for part in model.modules():
        if hasattr(part, "fused_attn"):
            setattr(part, "fused_attn", False)  # noqa: B010  # not of every module
    step(model, differentiation, size=32 if "_" in name else 16)


def test_half_precision_and_compiled_code_are_silent() -> None:
    x, y = batch()
    for differentiation in (DoubleBackprop(), FiniteDifference(0.1, allow_low_precision=True)):
        model = net(nn.SiLU())

        def autocast(images: Tensor, model: nn.Module = model) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return F.cross_entropy(model(images), y)

        Objective([JaFR()], FGSM(), differentiation=differentiation)(autocast, x).backward()
    model = net(nn.SiLU())
    compiled = torch.compile(model, backend="aot_eager")
    objective = Objective([JaFR(), GradAlign()], differentiation=FiniteDifference())
    for loss in objective.losses(lambda z: F.cross_entropy(compiled(z), y), x, model=model):
        loss.backward()
