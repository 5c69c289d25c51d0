"""Frequency profiles of images and of input gradients: spectra, log B_low, shares of power."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Integer, UInt8
from torch import Tensor

from freqreg._tensors import in_double, sent
from freqreg.errors import InputError
from freqreg.evaluation.inputs.examples import (
    Classifier,
    Examples,
    Labels,
    Pixels,
    device_of,
    require_eval_mode,
    unit_range,
)
from freqreg.evaluation.inputs.labelled_images import class_numbers
from freqreg.evaluation.processes import Share
from freqreg.frequency_bias import Floor, RelativeFloor, log_low_frequency_bias
from freqreg.input_gradients import value_and_input_grad
from freqreg.mixers.base import Mixer
from freqreg.pixels import PixelSpace
from freqreg.radial import BANDS, radii_within, shares_and_count
from freqreg.spectrum import magnitude_spectrum

if TYPE_CHECKING:
    from accelerate import Accelerator

ImageBatch = UInt8[Tensor, "_ channel height width"] | Float[Tensor, "_ channel height width"]
Batches = Iterable[tuple[ImageBatch, Integer[Tensor, " _"]]]
"""Images and labels, in batches of any size."""

Point = Callable[[Pixels, Labels], Pixels]
"""Maps a batch and its labels to the points at which the gradient is computed."""


@dataclass(frozen=True, eq=False)
class FrequencyProfile:
    """Mean magnitude spectra of images or of gradients, over images and channels.

    Args:
        spectrum: magnitudes that B_low uses: waves along one diagonal (`magnitude_spectrum`).
        flipped: magnitudes of the images mirrored left to right: waves along the other diagonal.
        shares: shares of power at the radii 1, 2, ... (`radial_shares`).
        images: number of images.
        size: shorter side of the images, in pixels.
    """

    spectrum: Float64[Tensor, "rows columns"]
    flipped: Float64[Tensor, "rows columns"]
    shares: Float64[Tensor, " radii"]
    images: int
    size: int

    def log_b_low(self, floor: Floor = RelativeFloor()) -> float:
        """Return the low-frequency bias that the paper prints: log B_low of one quadrant."""
        return log_low_frequency_bias(self.spectrum, floor=floor).item()

    def log_b_low_flipped(self, floor: Floor = RelativeFloor()) -> float:
        """Return log B_low of the mirrored images: the quadrant that the paper leaves out."""
        return log_low_frequency_bias(self.flipped, floor=floor).item()

    def log_b_low_both(self, floor: Floor = RelativeFloor()) -> float:
        """Return log B_low of the mean of both quadrants, as in `JaFR(quadrants=2)`."""
        return log_low_frequency_bias((self.spectrum + self.flipped) / 2, floor=floor).item()

    def log_b_low_by_quadrant(self) -> dict[str, float]:
        """Return all three, by their names in files."""
        return {
            "one quadrant": self.log_b_low(),
            "flipped": self.log_b_low_flipped(),
            "both quadrants": self.log_b_low_both(),
        }

    def share_by_band(self) -> dict[str, float]:
        """Return the share of power in `FourierSensitivity`'s bands "low", "middle" and "high"."""
        radii = {n: radii_within(band, len(self.shares), self.size) for n, band in BANDS.items()}
        return {
            name: self.shares[torch.tensor(within)].sum().item() for name, within in radii.items()
        }


def image_profile(
    batches: Iterable[ImageBatch],
    *,
    accelerator: "Accelerator | None" = None,
    share: Share | None = None,
) -> FrequencyProfile:
    """Compute the frequency profile of images, or of differences such as corrupted - clean.

    One batch is in memory at a time; the result does not depend on the batches' sizes.

    Example:
        >>> image_profile(images.split(500)).log_b_low()

    Args:
        batches: uint8, used as pixels in [0, 1], or floats, used unchanged.
        accelerator: sums over its processes, each with its own share of the images. No image may
            be repeated to fill a share: use `Accelerator(even_batches=False)`.
        share: this process's share of the images, within `shared_evaluation`.
    """
    return _profile(map(unit_range, batches), accelerator, share)


def gradient_profile(
    model: Classifier,
    batches: Batches,
    *,
    point: Point | None = None,
    accelerator: "Accelerator | None" = None,
    share: Share | None = None,
) -> FrequencyProfile:
    """Compute the frequency profile of a model's input gradients J: the paper's Figure 1, Table 2.

    The published figures are of the first 1,000 test images at clean points, with true labels.

    Units: J is the gradient of each example's own cross-entropy, per pixel in [0, 1], so that
    images count equally whatever the batch size. The paper's J, of the batch mean, is smaller by
    the batch size; log B_low is the same, except under an absolute floor: then divide, as in
    `log_low_frequency_bias(profile.spectrum / 1000, floor=AbsoluteFloor())`.

    Example:
        >>> batches = zip(images[:1000].split(250), labels[:1000].split(250))
        >>> gradient_profile(model.eval(), batches).log_b_low()

    Args:
        model: maps images in [0, 1] to logits; in eval mode.
        batches: images, uint8 or floats in [0, 1], and labels; moved to the model's device.
        point: maps to the points at which J is computed: `random_points`, `mixed_points` or any
            function of images and labels; None: the images themselves.
        accelerator: as in `image_profile`.
        share: as in `image_profile`.
    """
    require_eval_mode(model)
    return _profile(input_gradients(model, batches, point=point), accelerator, share)


def input_gradients(
    model: Classifier, batches: Batches, *, point: Point | None = None
) -> Iterator[Pixels]:
    """Yield the input gradients of each example's cross-entropy; see `gradient_profile`.

    Model, images and labels of the first batch are checked as by `Examples.checked`.
    """
    for number, (images, labels) in enumerate(batches):
        if not number:
            Examples.checked(model, images, labels)
        device = device_of(model, images)
        x, y = unit_range(sent(images, device)), sent(class_numbers(labels), device)
        where = x if point is None else point(x, y)
        yield _gradient(model, where, y)


def random_points(eps: float) -> Point:
    """Draw uniform points of the L∞ ball of `eps` pixels, from torch's global generator."""
    pixels = PixelSpace()
    return lambda x, _: pixels.project(x, x + pixels.noise(x, eps))


def mixed_points(model: Classifier, mixer: Mixer) -> Point:
    """Apply a mixer to each batch, e.g. `PGD(eps=8 / 255)` for adversarial points."""
    return lambda x, y: mixer(x, lambda at: _gradient(model, at, y), PixelSpace())


def _gradient(model: Classifier, x: Pixels, labels: Labels) -> Pixels:
    with torch.inference_mode(mode=False), torch.enable_grad():
        x, y = (t.clone() if t.is_inference() else t for t in (x, labels))
        return value_and_input_grad(lambda x: F.cross_entropy(model(x), y, reduction="sum"), x)[1]


def _profile(
    batches: Iterable[Pixels], accelerator: "Accelerator | None", share: Share | None
) -> FrequencyProfile:
    total, size = None, 0
    for images in batches:
        sums, size = _sums(images), min(images.shape[-2:])
        total = sums if total is None else [t + s for t, s in zip(total, sums, strict=True)]
    if total is None:
        raise InputError(
            "There was no batch, but a spectrum needs one. Was an iterator used twice?"
        )
    if accelerator is not None:
        there = [values.to(accelerator.device) for values in total]
        total = [cast(Tensor, accelerator.reduce(values, reduction="sum")) for values in there]
    total = [values.cpu() if share is None else share.summed(values.cpu()) for values in total]
    if not all(values.isfinite().all() for values in total):
        raise InputError(
            "The spectrum has NaN or infinite values, which come from the images or from the "
            "model's input gradients. Look for NaN among its weights."
        )
    spectra, count, shares, with_shares = total
    spectrum, flipped = spectra / count
    return FrequencyProfile(spectrum, flipped, shares / with_shares, int(count), size)


def _sums(images: Pixels) -> list[Tensor]:
    """Return sums of spectra and their number, and sums of shares and their number."""
    spectra = torch.stack([magnitude_spectrum(images), magnitude_spectrum(images.flip(-1))])
    shares, count = shares_and_count(images)
    weight = in_double(count.clamp_min(1e-30))  # if no image has shares, batches weigh alike
    of_spectra = torch.full_like(weight, len(images))
    return [in_double(spectra) * of_spectra, of_spectra, in_double(shares) * weight, weight]
