"""Models and images by the names that a command line has for them."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch

from freqreg._settings import require_count
from freqreg.errors import SettingError
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel, load_model
from freqreg.evaluation.inputs.transforms import PictureTransform


def chosen_device(name: str | None) -> torch.device:
    """The device of this name; None: the first GPU, or else the CPU.

    Raises:
        SettingError: there is none of this name.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for GPUs
        reason = str(error).splitlines()[0]
        raise SettingError(
            f"The device {name!r} cannot be used ({reason}). There are cpu and "
            f"{torch.cuda.device_count()} GPUs; leave --device out to choose by itself."
        ) from error


def load_models(
    sources: tuple[str, ...], device: str | None, *, network: str | None = None, ema: bool = False
) -> list[LoadedModel]:
    """The models of a command line, on one device.

    Args:
        sources: as `load_model` takes them.
        device: as `chosen_device` takes it.
        network: of those that are files of weights; None: the one that each names.
        ema: take the averaged weights of these files.

    Raises:
        CheckpointError: a network or averaged weights are asked for, and no source is a file.
    """
    files = {source for source in sources if Path(source).is_file()}
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
    """Images of the size that is asked for, else as the first model that says how is shown them.

    Args:
        models: of a command.
        source: as of `load_images`, like count, image_size and transform.
        which: split, config and columns, as of `load_images`.
    """
    given = {"images": count, "image_size": image_size}
    require_count(**{name: number for name, number in given.items() if number is not None})
    if image_size is None and transform is None:
        transform = next((model.transform for model in models if model.transform), None)
    path = Path(source).expanduser().absolute()
    state = (path, path.stat().st_mtime_ns) if path.exists() else None
    return _images(state, source, count, image_size, transform, **which)


@lru_cache(maxsize=2)
def _images(
    state: object,  # noqa: ARG001
    source: str,
    count: int | None,
    size: int | None,
    transform: PictureTransform | None,
    **which: str | None,
) -> LabelledImages:
    """Decoded once for all models of a command, while the state of the source is the same."""
    named = {name: value for name, value in which.items() if value is not None}
    return load_images(source, count=count, image_size=size, transform=transform, **named)
