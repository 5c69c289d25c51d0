"""Labelled images as every evaluation takes them: checked once, then batch by batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor, nn

from freqreg._settings import require_count
from freqreg._tensors import sent
from freqreg.errors import InputError
from freqreg.evaluation.inputs.streaming import read

Classifier = Callable[[Tensor], Tensor]
"""Maps float images [batch, channel, height, width] in [0, 1] to logits [batch, class]."""

Images = UInt8[Tensor, "images channel height width"] | Float[Tensor, "images channel height width"]
Pixels = Float[Tensor, "batch channel height width"]
Labels = Integer[Tensor, " images"]

BATCH_SIZE = 256

_SIZES = (32, 224, 64, 96, 128, 160, 192, 256, 288, 299, 336, 384, 448, 512, 28, 16)
"""Sides of images that models are trained on, the most usual ones first."""


@dataclass(frozen=True)
class Batch:
    """Some of the examples, on the classifier's device.

    `rows` are their places in what was given, `index` those in their data set, which random
    numbers are keyed by.
    """

    rows: Int64[Tensor, " batch"]
    x: Pixels
    labels: Int64[Tensor, " batch"]
    index: Int64[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Examples:
    """Images and labels that fit a classifier; make them by `checked`."""

    images: Images
    labels: Int64[Tensor, " images"]
    index: Int64[Tensor, " images"]
    classes: int
    device: torch.device

    @classmethod
    def checked(
        cls,
        model: Classifier,
        images: Images,
        labels: Labels,
        *,
        index: Int64[Tensor, " images"] | None = None,
    ) -> "Examples":
        """The examples, once one forward pass of the first image went well.

        Args:
            model: in eval mode, if it is a module.
            images: uint8, or floats in [0, 1].
            labels: of the same number, in 0 .. classes - 1.
            index: the images' places in their data set; None: 0, 1, 2, ...

        Raises:
            InputError: the images, the labels or the model are not so.
        """
        classes = count_classes(model, images)
        if labels.shape != (len(images),) or labels.is_floating_point():
            raise InputError(
                f"The labels have shape {tuple(labels.shape)} and dtype {labels.dtype}; needed is "
                f"a class number for each of {len(images)} images."
            )
        low, high = (value.item() for value in labels.aminmax())
        if low < 0 or high >= classes:
            raise InputError(
                f"The labels span {low} to {high}, but the model tells {classes} classes apart: "
                f"they must lie in 0 .. {classes - 1}. Is it the model of another data set?"
            )
        places = torch.arange(len(images)) if index is None else index
        if len(places) != len(images):
            raise InputError(f"index has {len(places)} places for {len(images)} images.")
        return cls(images, labels.long(), places, classes, device_of(model, images))

    def __len__(self) -> int:
        return len(self.images)

    def batches(
        self, batch_size: int = BATCH_SIZE, rows: Int64[Tensor, " rows"] | None = None
    ) -> Iterator[Batch]:
        """The examples, or those at `rows`, in order, `batch_size` at a time."""
        require_count(batch_size=batch_size)
        rows = torch.arange(len(self)) if rows is None else rows
        if not len(rows):
            return
        for chunk, images in zip(
            rows.split(batch_size), read(self.images, batch_size, rows), strict=True
        ):
            labels, index = (
                sent(values[sent(chunk, values.device)], self.device)
                for values in (self.labels, self.index)
            )
            yield Batch(chunk, unit_range(sent(images, self.device)), labels, index)


def unit_range(images: Images) -> Pixels:
    """Images as floats in [0, 1]: uint8 divided by 255, floats as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def device_of(model: Classifier, images: Tensor) -> torch.device:
    """Where the classifier computes: with its first parameter, else with the images."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), images.device)


def require_eval_mode(model: Classifier) -> None:
    """Raise where a module in training mode would make the answer depend on the batch.

    Raises:
        InputError: some part of the model is in training mode.
    """
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    training = [name or type(module).__name__ for name, module in modules if module.training]
    if training:
        raise InputError(
            f"The model is in training mode ({len(training)} modules, such as {training[-1]}): "
            "dropout and batch statistics would blur what is measured. Call model.eval() first."
        )


def require_pixels(images: Images) -> None:
    """Raise unless `images` are uint8, or finite floats in [0, 1].

    Raises:
        InputError: wrong shape, type or range, or NaN.
    """
    if images.ndim != 4 or not len(images):
        raise InputError(
            f"The images have shape {tuple(images.shape)}; needed is [images, channel, height, "
            "width] with at least one image. For a single one: image[None]."
        )
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise InputError(f"The images have dtype {images.dtype}; give uint8, or floats in [0, 1].")
    low, high = (value.item() for value in images.aminmax())
    if low != low or high != high:
        raise InputError("The images contain NaN. Find out where they come from, or drop them.")
    if low >= 0 and high <= 1:
        return
    mend = (
        "They look like 0..255: divide them by 255, or give them as uint8."
        if low >= 0 and high <= 255
        else "If they are normalised, undo it: the normalisation belongs into the model "
        "(freqreg.evaluation.inputs.models.Normalized)."
    )
    raise InputError(f"The images span [{low:.3g}, {high:.3g}]; needed are [0, 1]. {mend}")


def count_classes(model: Classifier, images: Images) -> int:
    """How many logits the model gives for the first image.

    Raises:
        InputError: the model or the images are not as `Examples.checked` needs them.
    """
    require_eval_mode(model)
    require_pixels(images)
    device = device_of(model, images)
    try:
        with torch.no_grad():
            logits = model(unit_range(images[:1].to(device)))
    except Exception as error:
        raise InputError(_refusal(model, images[:1].to(device), error)) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"The model returned {found}; needed are logits [batch, class].")
    rounding = 10 * torch.finfo(logits.dtype).eps
    sums_to_one = ((logits.sum(1) - 1).abs() < rounding).all() and (logits >= 0).all()
    if sums_to_one and ((logits > 0) & (logits < 1)).any():  # a one-hot answer is let pass
        raise InputError(
            "The model returned probabilities: none is negative and they sum to 1. Losses and "
            "attacks take logits; through probabilities gradients vanish. Leave the model's last "
            "softmax out, or give their logarithm: lambda x: model(x).log()."
        )
    return logits.shape[1]


def _refusal(model: Classifier, images: Images, error: Exception) -> str:
    """Why the model does not take the images, and a size of images that it does take."""
    size = next((size for size in _SIZES if _takes(model, images, size)), None)
    mend = (
        "Give images [images, channel, height, width] such as it was trained on."
        if size is None
        else f"It takes {size} x {size}: resize them (on the command line --image-size {size})."
    )
    reason = f" ({text})" if (text := str(error).partition("\n")[0].rstrip(".")) else ""
    _, channels, height, width = images.shape
    found = f"images of {channels} x {height} x {width} pixels"
    return f"The model cannot take {found}{reason}. {mend}"


@torch.no_grad()
def _takes(model: Classifier, images: Images, size: int) -> bool:
    try:
        logits = model(torch.zeros(1, images.shape[1], size, size, device=images.device))
    except Exception:
        return False
    return isinstance(logits, Tensor) and logits.ndim == 2
