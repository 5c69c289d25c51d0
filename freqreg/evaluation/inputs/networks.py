"""Networks by name, with fresh weights: freqreg's own, and timm's."""

import difflib
import math
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from torch import Tensor, nn

from freqreg._extras import extra
from freqreg.evaluation.inputs.loaded_model import CheckpointError, Normalized
from freqreg.networks import Enlarged, OneConvNet, PreActResNet18

TIMM = "timm/"
NETWORKS = {"preact_resnet18": PreActResNet18, "one_conv": OneConvNet, "enlarged": Enlarged}


def build_network(name: str, **kwargs: Any) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: one of `NETWORKS`, or "timm/NAME".
        kwargs: of its constructor, or of `timm.create_model`.

    Raises:
        CheckpointError: there is no such network, or it has no such argument.
    """
    if name.startswith(TIMM):
        make: Any = partial(timm_library(name).create_model, timm_name(name))
    elif name in NETWORKS:
        make = NETWORKS[name]
    else:
        known = ", ".join((*NETWORKS, f"{TIMM}NAME"))
        raise CheckpointError(
            f"There is no network {name!r}; known are {known}. For timm's write {TIMM}{name}."
        )
    try:
        return make(**kwargs)
    except Exception as error:  # its type depends on the network
        reason = str(error).rstrip(".") or repr(error)
        raise CheckpointError(f"{name} cannot be built with {kwargs}: {reason}.") from error


def use_differentiable_attention(model: nn.Module) -> None:
    """Switch a network of timm to attention that has a second derivative."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # pyright: ignore[reportArgumentType]


def timm_library(name: str) -> Any:
    """Import timm, which the model `name` needs."""
    with extra("timm", f"{name} needs timm"):
        import timm
    return timm


def timm_name(name: str) -> str:
    """Return timm's name of the network "timm/NAME"; raise a CheckpointError if it has none."""
    timm, bare = timm_library(name), name.removeprefix(TIMM)
    if not timm.is_model(bare):
        close = difflib.get_close_matches(bare, timm.list_models(), n=5)
        near = close or timm.list_models(f"*{bare}*")[:5] or ["see timm.list_models()"]
        raise CheckpointError(f"timm has no model {bare!r}. Close to it: {', '.join(near)}.")
    return bare


def channels_of(network: Any) -> int | None:
    """Return the number of channels that a network takes; None if it is of an unknown kind."""
    while isinstance(network, Normalized | Enlarged):
        network = network.model if isinstance(network, Normalized) else network.network
    own = {PreActResNet18: "stem", OneConvNet: "conv"}.get(type(network))
    first = own or getattr(network, "pretrained_cfg", {}).get("first_conv")
    with suppress(AttributeError):  # timm names several first layers, or another kind of layer
        return network.get_submodule(first).in_channels if first else None


def sizes_from(network: Any, state: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the arguments that give this network the shapes of its weights in another size.

    They are empty if the weights are another network's.
    """
    with suppress(KeyError, ValueError):
        if isinstance(network, PreActResNet18):
            width, channels = state["stem.weight"].shape[:2]
            classes = len(state["head.weight"])
            return {"num_classes": classes, "width": width, "in_channels": channels}
        if isinstance(network, OneConvNet):
            filters, channels = state["conv.weight"].shape[:2]
            classes, features = state["head.weight"].shape
            side = math.isqrt(features // filters)
            sizes = {"filters": filters, "image_size": side, "in_channels": channels}
            return {"num_classes": classes, **sizes}
        head = network.get_classifier()
        last = list((head[0] if isinstance(head, tuple | list) else head).parameters())[-1]
        name = next(name for name, parameter in network.named_parameters() if parameter is last)
        return {"num_classes": len(state[name])}
    return {}
