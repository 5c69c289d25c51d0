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
        SettingError: a network or averaged weights are asked for, and no source is a file.
    """
    files = {source for source in sources if Path(source).is_file()}
    if sources and not files and (network is not None or ema):
        raise SettingError(
            f"--model and --ema are for files of weights, and {', '.join(sources)} is none. Leave "
            "them out, or give the file."
        )
    used = chosen_device(device)
    return [
        load_model(source, model=network, ema=ema, device=used)
        if source in files
        else load_model(source, device=used)
        for source in sources
    ]


def images_for(
    models: Sequence[LoadedModel],
    source: str,
    *,
    count: int | None = None,
    image_size: int | None = None,
    **which: str | None,
) -> LabelledImages:
    """Images of the size that is asked for, else as the first model that says how is shown them.

    Args:
        models: of a command.
        source: as of `load_images`, like count and image_size.
        which: split, config and columns, as of `load_images`.
    """
    given = {"images": count, "image_size": image_size}
    require_count(**{name: number for name, number in given.items() if number is not None})
    known = next((model.transform for model in models if model.transform), None)
    transform = known if image_size is None else None
    state, named = _state_of(source), tuple(which.items())
    return _images(source, state, named, count, image_size, transform)


@lru_cache(maxsize=2)
def _images(
    source: str,
    state: object,  # noqa: ARG001
    which: tuple[tuple[str, str | None], ...],
    count: int | None,
    size: int | None,
    transform: PictureTransform | None,
) -> LabelledImages:
    """Decoded once for all models of a command, while the state of the source is the same."""
    named = {name: value for name, value in which if value is not None}
    return load_images(source, count=count, image_size=size, transform=transform, **named)


def _state_of(source: str) -> tuple[Path, int] | None:
    """Which file or folder it is, and of when; None for a data set of the hub."""
    path = Path(source).expanduser().absolute()
    return (path, path.stat().st_mtime_ns) if path.exists() else None
