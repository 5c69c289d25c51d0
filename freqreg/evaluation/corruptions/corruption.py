"""`corrupt`: any corruption, quantised, and the same for an image in any batch."""

import difflib
from collections.abc import Callable

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from freqreg._settings import require_choice
from freqreg.errors import InputError, SettingError
from freqreg.evaluation.corruptions import blur, digital, noise, weather
from freqreg.evaluation.corruptions.linear_maps import Levels
from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS, SEVERITIES, SavedAs
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.corruptions.severities import constants
from freqreg.evaluation.inputs.examples import Images, Pixels, require_pixels, unit_range

_MODULES = {"noise": noise, "blur": blur, "weather": weather, "digital": digital}
_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    name: getattr(_MODULES[group], name) for group, names in GROUPS.items() for name in names
}
LEAST_SIDE = 16
JPEG_QUALITY = 85  # of "jpeg85"


@torch.no_grad()
def corrupt(
    images: Images,
    name: str,
    severity: int,
    *,
    seed: int = 0,
    index: Int64[Tensor, " batch"] | None = None,
    saved_as: SavedAs = None,
) -> Pixels:
    """Apply one of CIFAR-10-C's 19 corruptions; return floats in [0, 1].

    Images are treated as 8-bit: floats are rounded to k/255 first. The results are truncated to
    k/255 like CIFAR-10-C's, so they can be stored as uint8 without loss. Each is a function of
    (image, name, severity, seed, index) alone: bit for bit the same in any batch.

    The constants are those of CIFAR-10-C (32 x 32 pixels), Tiny ImageNet-C (64 x 64) or
    ImageNet-C (224 x 224), whichever is nearest to the shorter side by ratio. Two things differ
    from the original programs: frost has procedural textures instead of photographs, and random
    numbers are different.

    Args:
        images: RGB, uint8 or floats in [0, 1], at least 16 pixels along each side.
        name: a file name of CIFAR-10-C without its ending, one of `CORRUPTIONS`.
        severity: 1 (mild) to 5.
        seed: of the random numbers.
        index: each image's place in its data set; None: 0, 1, 2, ...
        saved_as: "jpeg85" saves each result as JPEG of quality 85 and reads it again. ImageNet-C
            and Tiny ImageNet-C were released so, CIFAR-10-C was not.

    Raises:
        InputError: wrong shape, size or range of the images, NaN, or another length of the index.
        SettingError: an unknown name, severity or format.

    References: Hendrycks & Dietterich, ICLR 2019, arXiv:1903.12261.
    """
    require_corruption(name, severity)
    require_corruptible(images)
    require_choice(SavedAs, saved_as=saved_as)
    index = torch.arange(len(images)) if index is None else index
    if index.shape != images.shape[:1]:
        raise InputError(
            f"index has shape {tuple(index.shape)} for {len(images)} images; give one integer "
            "for each image, its place in the data set."
        )
    settings = constants(name, severity, min(images.shape[-2:]))
    values = 2**18 if images.device.type == "cpu" else 2**25  # fit the cache, or a GPU's memory
    at_once = max(1, values // images[0].numel())
    corrupted = []
    for part, places in zip(images.split(at_once), index.split(at_once), strict=True):
        random = CounterRNG(f"{seed}/{name}/{severity}", places.to(images.device))
        levels = _FUNCTIONS[name](as_bytes(part).float(), random, *settings)
        corrupted.append(saved(levels.clamp(0, 255).floor().float(), saved_as) / 255)
    return torch.cat(corrupted).to(unit_range(images[:1]).dtype)


def saved(levels: Levels, saved_as: SavedAs) -> Levels:
    """Save RGB levels from 0 to 255 and read them again.

    The releases use Pillow's `optimize=True`, which shortens files and changes no pixel.
    """
    return levels if saved_as is None else digital.through_jpeg(levels, JPEG_QUALITY)


def require_corruption(name: str, severity: int) -> None:
    """Raise a SettingError if the name or severity is unknown."""
    if name not in CORRUPTIONS:
        close = difflib.get_close_matches(name, CORRUPTIONS, cutoff=0.4)
        known = f"Known: {', '.join(CORRUPTIONS)}."
        hint = f"Did you mean {' or '.join(close)}?" if close else known
        raise SettingError(f"There is no corruption {name!r}. {hint}")
    if severity not in SEVERITIES:
        raise SettingError(f"severity is {severity!r}; it must be 1, 2, 3, 4 or 5.")


def as_bytes(images: Images) -> UInt8[Tensor, "images channel height width"]:
    """Return images as uint8; floats in [0, 1] are rounded to the nearest k/255."""
    return images if images.dtype == torch.uint8 else (images * 255).round().to(torch.uint8)


def require_corruptible(images: Images) -> None:
    """Raise an InputError unless images are RGB, in [0, 1] and at least 16 pixels a side."""
    require_pixels(images)
    channels, *sides = images.shape[1:]
    if channels != 3:
        raise InputError(
            f"Corruptions need RGB images [batch, 3, height, width]; got {tuple(images.shape)}. "
            "Repeat a grey channel three times; move trailing channels to the front."
        )
    if min(sides) < LEAST_SIDE:
        raise InputError(
            f"Images of {sides[0]} x {sides[1]} pixels are too small to corrupt: {LEAST_SIDE} "
            "along each side are needed. Enlarge them, or pad them."
        )
