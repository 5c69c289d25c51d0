"""Which arguments a network by name is built with."""

from typing import Any

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.models import NETWORKS, TIMM


def network_kwargs(name: str, *, num_classes: int, width: int, image_size: int) -> dict[str, Any]:
    """Arguments of `build_network` for square images in [0, 1] and fresh weights.

    `width` is of PreAct-ResNet-18's first stage; timm's names carry their size.
    """
    if name.startswith(TIMM):
        return {"num_classes": num_classes, **_fixed_size(name.removeprefix(TIMM), image_size)}
    if name == "preact_resnet18":
        return {"num_classes": num_classes, "width": width}
    if name == "one_conv":
        return {"num_classes": num_classes, "image_size": image_size}
    known = ", ".join((*NETWORKS, f"{TIMM}NAME"))
    raise SettingError(f"There is no network {name!r}; known are {known}.")


def _fixed_size(name: str, image_size: int) -> dict[str, int]:
    import timm

    if not timm.is_model(name):
        return {}  # the error comes with building it
    config = timm.get_pretrained_cfg(name)
    return {"img_size": image_size} if config is not None and config.fixed_input_size else {}
