"""What the commands share."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from freqreg._settings import require_count
from freqreg.errors import FreqregError, SettingError
from freqreg.evaluation.inputs.images import ImageSet, load_image_set
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


def pixel_radius(eps_255: float) -> float:
    """A radius in pixels of [0, 1] from one in steps of 1/255.

    Raises:
        SettingError: it is so small that it was given in pixels already.
    """
    if 0 < eps_255 < 0.1:
        raise SettingError(
            f"eps_255 is {eps_255}, less than a tenth of a step of 1/255. It counts such steps: "
            f"for a radius of {eps_255} of the pixel range give {255 * eps_255:.3g}."
        )
    return eps_255 / 255


def file_name(source: str) -> str:
    """A name for files about what `source` names."""
    return re.sub(r"[^\w.+()-]+", "-", source).strip("-.")


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
    models: list[LoadedModel],
    source: str,
    *,
    split: str,
    count: int | None,
    image_size: int | None,
) -> ImageSet:
    """Images of the size that is asked for, else of that which the models were trained on."""
    require_count(images=1 if count is None else count, image_size=image_size or 1)
    known = next((m.transform for m in models if m.transform), None)
    transform = known if image_size in (None, known and known.size[0]) else None
    return _image_set(source, _state_of(source), split, count, image_size, transform)


@lru_cache(maxsize=2)
def _image_set(
    source: str,
    state: object,  # noqa: ARG001
    split: str,
    count: int | None,
    size: int | None,
    transform: PictureTransform | None,
) -> ImageSet:
    """Decoded once for all models of a command, while the state of the source is the same."""
    return load_image_set(source, split=split, count=count, image_size=size, transform=transform)


def _state_of(source: str) -> tuple[Path, int] | None:
    """Which file or folder it is, and of when; None for a data set of the hub."""
    path = Path(source).absolute()
    return (path, path.stat().st_mtime_ns) if path.exists() else None


@contextmanager
def plain_errors(*others: type[Exception]) -> Iterator[None]:
    """Errors whose message says what to do end the program with that message alone.

    Args:
        others: such errors beside freqreg's own and those of missing packages.
    """
    try:
        yield
    except (FreqregError, ImportError, *others) as error:
        sys.exit(f"{type(error).__name__}: {error}")
