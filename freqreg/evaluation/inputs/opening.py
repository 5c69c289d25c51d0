"""Models and images as a command line names them."""

import logging
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from freqreg._settings import require_count
from freqreg.errors import SettingError
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel, load_model
from freqreg.evaluation.inputs.networks import channels_of
from freqreg.evaluation.inputs.transforms import EvalTransform, PictureTransform
from freqreg.evaluation.processes import is_main

logger = logging.getLogger(__name__)


def chosen_device(name: str | None) -> torch.device:
    """Return the device of this name or raise; None: the first GPU, or else the CPU."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts it
        reason = str(error).splitlines()[0]
        raise SettingError(
            f"The device {name!r} cannot be used ({reason}). There are cpu and "
            f"{torch.cuda.device_count()} GPUs; leave --device out for the default."
        ) from error


def load_models(
    sources: tuple[str, ...], device: str | None, *, network: str | None = None, ema: bool = False
) -> list[LoadedModel]:
    """Load the models of a command line to one device.

    `network` and `ema` are those of the sources that are files of weights.

    Raises:
        CheckpointError: a network or averaged weights are asked for, and no source is a file.
    """
    files = {source for source in sources if Path(source).expanduser().is_file()}
    used, of_files = chosen_device(device), {"model": network, "ema": ema}
    return [
        load_model(source, device=used, **(of_files if source in files or not files else {}))
        for source in sources
    ]


def images_for(
    models: Sequence[LoadedModel],
    source: str,
    *,
    count: int | None = None,
    image_size: int | None = None,
    transform: PictureTransform | None = None,
    **which: str | None,
) -> LabelledImages:
    """Load images of the given size, or else by the first transform that a model states.

    Grey and RGB images become the other, if the first model whose channels are known takes these.
    Arguments are those of `load_images`, with split, config and columns in `which`. A line says
    how images are shown to the first model, once for each model and size.
    """
    given = {"images": count, "image_size": image_size}
    require_count(**{name: number for name, number in given.items() if number is not None})
    if image_size is None and transform is None:
        transform = next((model.transform for model in models if model.transform), None)
    path = Path(source).expanduser().absolute()
    state = (path, path.stat().st_mtime_ns) if path.exists() else None
    known = filter(None, (channels_of(model.model) for model in models))
    named = {name: value for name, value in which.items() if value is not None}
    shown = {"image_size": image_size, "transform": transform, "channels": next(known, None)}
    if models and is_main():
        sized = image_size and EvalTransform((image_size, image_size))
        _tell(models[0].shown(transform or sized))
    return _images(state, source, count=count, **shown, **named)


@cache
def _tell(line: str) -> None:
    logger.warning(line)


@lru_cache(maxsize=2)
def _images(state: object, source: str, **arguments: Any) -> LabelledImages:  # noqa: ARG001
    """Load images once for all models of a command, while the source is in the same `state`."""
    return load_images(source, **arguments)
