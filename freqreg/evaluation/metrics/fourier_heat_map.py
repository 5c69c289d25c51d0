"""Fourier heat map: error rates of a model under noise of each single frequency."""

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor, nn

from freqreg._settings import require_positive
from freqreg._tensors import in_double
from freqreg.evaluation.corruptions.randomness import CELLS, CounterRNG
from freqreg.evaluation.inputs.examples import (
    BATCH_SIZE,
    Classifier,
    Examples,
    Images,
    Labels,
    Pixels,
)
from freqreg.evaluation.inputs.progress import progress_bar
from freqreg.evaluation.inputs.streaming import read
from freqreg.evaluation.metrics.accuracy import logits_of, predictions, require_answers
from freqreg.evaluation.processes import Share, from_main
from freqreg.evaluation.results.digests import digest, digest_of_model
from freqreg.evaluation.results.journal import Journal

Frequency = tuple[int, int]


def fourier_heat_map(
    model: Classifier,
    images: Images,
    labels: Labels,
    *,
    norm: float = 4.0,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    file: Path | None = None,
) -> Float64[Tensor, "height width"]:
    """Measure the error rate under each real Fourier basis vector, added to all images.

    The basis vector is added to each channel of each image with L2 norm `norm` and a random sign;
    the sum is clipped to [0, 1]. The result does not depend on `batch_size`.

    Args:
        model: maps images in [0, 1] to logits; in eval mode.
        images: uint8, or floats in [0, 1].
        labels: their classes.
        norm: L2 norm of the noise in each channel, in pixels of [0, 1]; the reference uses 4 at
            32×32 and 15.7 at 224×224.
        seed: the signs are a function of (seed, frequency, image, channel) alone.
        batch_size: images in one forward pass, of several frequencies where possible.
        file: stores results line by line; the same call again continues from there.

    Returns:
        Error rates from 0 to 1, with the constant (DC) at [height // 2, width // 2]. The map is
        symmetric about it.

    Raises:
        InputError: images, labels and model do not fit each other, or `file` is of another map.

    References: Yin et al., NeurIPS 2019, arXiv:1906.08988, section 3.
    """
    require_positive(norm=norm)
    height, width = images.shape[-2:]
    noise = BasisNoise(height, width, norm, seed)
    share, examples = Share.of(len(images)), Examples.checked(model, images, labels)
    logits = logits_of(model, images, labels, batch_size=batch_size, share=share)
    require_answers(logits)
    predicted = digest((logits.argmax(1),))

    def started() -> Journal:
        known = {"images": digest(read(images, batch_size)), "predicted": predicted}
        if isinstance(model, nn.Module):
            known["weights"] = digest_of_model(model)
        known["labels"] = digest((examples.labels,))
        return Journal(file, {"norm": norm, "seed": seed} | known)

    journal = from_main(started)
    todo = [at for at in half_plane(height, width) if _key(at) not in journal]
    together = max(1, batch_size * share.processes // len(examples))
    with progress_bar(len(todo), "Fourier heat map", unit="frequency") as bar:
        for start in range(0, len(todo), together):
            chunk = todo[start : start + together]
            wrong = torch.zeros(len(chunk), dtype=torch.int64, device=examples.device)
            for batch in examples.batches(batch_size, share.rows):
                noisy = torch.cat([noise.add_to(batch.x, at, batch.index) for at in chunk])
                with torch.no_grad():
                    predicted = predictions(model(noisy)).view(len(chunk), -1)
                wrong += (predicted != batch.labels).sum(1)
            errors = (in_double(share.summed(wrong)) / len(examples)).tolist()
            journal.add({_key(at): error for at, error in zip(chunk, errors, strict=True)})
            bar.update(len(chunk))
    errors = torch.empty(height, width, dtype=torch.float64)
    for at in half_plane(height, width):
        for row, column in (at, _opposite(at, height, width)):
            errors[row, column] = journal[_key(at)]
    return torch.fft.fftshift(errors)


def half_plane(height: int, width: int) -> list[Frequency]:
    """Return one of each pair of frequencies ±(row, column), which share a real basis vector."""
    plane = product(range(height), range(width))
    return sorted({min(at, _opposite(at, height, width)) for at in plane})


@dataclass(frozen=True)
class BasisNoise:
    """Noise of one spatial frequency: a real Fourier basis vector with random signs."""

    height: int
    width: int
    norm: float
    seed: int

    def basis(self, at: Frequency) -> Float32[Tensor, "height width"]:
        """Return the cosine of this frequency, with L2 norm 1."""
        rows = torch.arange(self.height, dtype=torch.float64)[:, None] * (at[0] / self.height)
        columns = torch.arange(self.width, dtype=torch.float64) * (at[1] / self.width)
        wave = torch.cos(2 * math.pi * (rows + columns))
        return (wave / wave.norm()).float()

    def add_to(
        self, x: Pixels, at: Frequency, index: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Add the noise; `index`, the images' places in the data set, keys the signs."""
        random = CounterRNG(f"{self.seed}/heat map {_key(at)}", index)
        signs = torch.where(random.uint16("signs", x.shape[1], 1, 1) < CELLS // 2, 1.0, -1.0)
        return (x + signs * (self.norm * self.basis(at).to(x.device))).clamp(0, 1)


def _opposite(at: Frequency, height: int, width: int) -> Frequency:
    return -at[0] % height, -at[1] % width


def _key(at: Frequency) -> str:
    return f"{at[0]},{at[1]}"
