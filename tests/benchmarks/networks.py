"""The networks that steps are measured on, at sizes that two cores can take."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import timm
from timm.layers.activations import GELU  # torch's, with the arguments of ReLU
from torch import nn

from freqreg.networks.preact_resnet import PreActResNet18

CLASSES = 10
Variant = Literal["exact", "smooth", "compiled"]
"""As it is, without fused attention; what finite differences are for: GELU, fused attention; or
the first, compiled."""


@dataclass(frozen=True)
class Network:
    """How to make a network, and the batch that it is measured on."""

    title: str
    build: Callable[[Variant, int, int], nn.Module]
    """Of the variant, the width (PreAct-ResNet-18 only) and the image size."""
    batch_size: int
    image_size: int
    smooth: str
    """How the smooth variant differs."""


def preact(variant: Variant, width: int, image_size: int) -> nn.Module:
    """PreAct-ResNet-18, for images of any size."""
    return PreActResNet18(
        CLASSES, width=width, activation=nn.GELU if variant == "smooth" else nn.ReLU
    )


def resnet50(variant: Variant, width: int, image_size: int) -> nn.Module:
    """timm's, for images of any size."""
    smooth: dict[str, Any] = {"act_layer": GELU} if variant == "smooth" else {}
    return timm.create_model("resnet50", num_classes=CLASSES, **smooth)


def vit(variant: Variant, width: int, image_size: int) -> nn.Module:
    """timm's tiny one; fused attention has no second derivative."""
    model = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, img_size=image_size)
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = variant == "smooth"  # pyright: ignore[reportArgumentType]
    return model


def convnext(variant: Variant, width: int, image_size: int) -> nn.Module:
    """timm's smallest; GELU as it is."""
    return timm.create_model("convnext_atto", num_classes=CLASSES)


NETWORKS = {
    "preact": Network("PreAct-ResNet-18", preact, 32, 32, "GELU instead of ReLU"),
    "resnet50": Network("ResNet-50 (timm)", resnet50, 8, 112, "GELU instead of ReLU"),
    "vit": Network("ViT-Ti/16 (timm)", vit, 16, 112, "fused attention"),
    "convnext": Network("ConvNeXt-A (timm)", convnext, 16, 112, "the same network"),
}
