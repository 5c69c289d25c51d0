"""Labelled images as evaluations take them: checked once, then read batch by batch."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Integer, UInt8
from torch import Tensor, nn

from freqreg._settings import require_count
from freqreg._tensors import in_double, sent
from freqreg.errors import InputError
from freqreg.evaluation.inputs.labelled_images import class_numbers
from freqreg.evaluation.inputs.streaming import read

Classifier = Callable[[Tensor], Tensor]
"""Maps float images [batch, channel, height, width] in [0, 1] to logits [batch, class]."""

Images = UInt8[Tensor, "images channel height width"] | Float[Tensor, "images channel height width"]
Pixels = Float[Tensor, "batch channel height width"]
Labels = Integer[Tensor, " images"]

BATCH_SIZE = 256
_ASKED = 16  # images on which `count_classes` relies
_ROUNDING = 5e-3  # of sums of probabilities that were rounded to bfloat16
_CHANGE = 0.05  # of logits, as a share of the largest; rounding in half precision is less
_SIZES = (32, 224, 64, 96, 128, 160, 192, 256, 288, 299, 336, 384, 448, 512, 28, 16)
"""Usual image sizes of models, the most common first."""


@dataclass(frozen=True)
class Batch:
    """Some of the examples, on the classifier's device.

    `rows` are their places among the examples, `index` those in their data set. The index keys
    random numbers.
    """

    rows: Int64[Tensor, " batch"]
    x: Pixels
    labels: Int64[Tensor, " batch"]
    index: Int64[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Examples:
    """Images and labels that fit a classifier; `checked` makes them."""

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
        labels: Labels | Callable[[int], Labels],
        *,
        index: Int64[Tensor, " images"] | None = None,
    ) -> "Examples":
        """Check model, images and labels by a forward pass of some images.

        A module must be in eval mode, images uint8 or floats in [0, 1], labels in 0 .. classes - 1,
        or a function from the number of classes to labels. `index` has each image's place in its
        data set; None: 0, 1, 2, ...

        Raises:
            InputError: one of the arguments is invalid.
        """
        classes = count_classes(model, images)
        labels = class_numbers(labels(classes) if callable(labels) else labels)
        if labels.shape != (len(images),):
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
            raise InputError(
                f"index has {len(places)} places for {len(images)} images; give one for each."
            )
        return cls(images, labels, places, classes, device_of(model, images))

    def __len__(self) -> int:
        return len(self.images)

    def batches(
        self, batch_size: int = BATCH_SIZE, rows: Int64[Tensor, " rows"] | None = None
    ) -> Iterator[Batch]:
        """Yield the examples, or those at `rows`, in order, `batch_size` at a time."""
        require_count(batch_size=batch_size)
        rows = torch.arange(len(self)) if rows is None else rows
        if not len(rows):
            return
        pixels = read(self.images, batch_size, rows)
        for chunk, images in zip(rows.split(batch_size), pixels, strict=True):
            labels, index = (
                sent(values[sent(chunk, values.device)], self.device)
                for values in (self.labels, self.index)
            )
            yield Batch(chunk, unit_range(sent(images, self.device)), labels, index)


def unit_range(images: Images) -> Pixels:
    """Return images as floats in [0, 1]: uint8 divided by 255, floats unchanged."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def device_of(model: Classifier, images: Tensor) -> torch.device:
    """Return the device of the classifier's first parameter, or else of the images."""
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), images.device)


def require_eval_mode(model: Classifier) -> None:
    """Raise an InputError if any module of the model is in training mode."""
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    training = [name or type(module).__name__ for name, module in modules if module.training]
    if training:
        raise InputError(
            f"The model is in training mode ({len(training)} modules, such as {training[-1]}): "
            "dropout and batch statistics would distort the result. Call model.eval() first."
        )


def require_pixels(images: Images) -> None:
    """Raise an InputError unless `images` are a batch of uint8, or of finite floats in [0, 1]."""
    if not isinstance(images, Tensor):
        raise InputError(
            f"The images are no tensor, but {type(images).__name__}. Convert them: "
            "torch.from_numpy(images)."
        )
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
        else "If they are normalised, undo it, and normalise inside the model "
        "(freqreg.evaluation.inputs.models.Normalized)."
    )
    raise InputError(f"The images span [{low:.3g}, {high:.3g}]; they must lie in [0, 1]. {mend}")


def count_classes(model: Classifier, images: Images) -> int:
    """Return the number of logits, by a forward pass of some images.

    Raises:
        InputError: for what `Examples.checked` refuses.

    Warns:
        UserWarning: the answers may be outputs of a sigmoid, or change from call to call.
    """
    require_eval_mode(model)
    require_pixels(images)
    count = min(len(images), _ASKED)
    some = images[torch.arange(count, device=images.device) * len(images) // count]
    x = unit_range(some.to(device_of(model, images)))
    given = x.clone()
    try:
        with torch.no_grad():
            logits = model(given)
    except Exception as error:
        raise InputError(_refusal(model, some.to(x.device), error)) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"The model returned {found}; needed are logits [batch, class]. Wrap it in a module "
            "that returns these alone."
        )
    if not logits.is_floating_point() or len(logits) != count:
        raise InputError(
            f"The model returned {logits.dtype} {list(logits.shape)} for {count} images; needed "
            "are floating point logits [batch, class]. Return one row for each image."
        )
    if (given != x).any():
        raise InputError(
            "The model changes its images in place, so that the next pass would see others. Let "
            "it begin with a copy: x = x.clone()."
        )
    _require_logits(logits)
    _warn_of_changing_answers(model, x, logits)
    return logits.shape[1]


def _require_logits(logits: Float[Tensor, "batch classes"]) -> None:
    """Raise an InputError for probabilities; one-hot answers are accepted."""
    values = in_double(logits)
    if (values < 0).any() or logits.shape[1] < 2:
        return
    for whole, what in ((1, "1"), (100, "100: they are in percent")):
        off = (values.sum(1) / whole - 1).abs().max()
        if off < _ROUNDING and ((values > 0) & (values < whole)).any():
            raise InputError(
                f"The model returned probabilities: none is negative and they sum to {what}. "
                "Losses and attacks need logits; gradients vanish through probabilities. Remove "
                "the model's last softmax, or end in log_softmax of the logits."
            )
    if (values <= 1).all() and (values != values[0]).any() and ((values > 0) & (values < 1)).any():
        warnings.warn(
            "All of the model's answers lie between 0 and 1, so they may be outputs of a sigmoid. "
            "Losses and attacks need logits: remove the sigmoid if there is one.",
            stacklevel=4,
        )


def _warn_of_changing_answers(
    model: Classifier, x: Pixels, logits: Float[Tensor, "batch classes"]
) -> None:
    """Warn if the model answers half of the images otherwise when they are alone."""
    half = x[: len(x) // 2] if len(x) > 3 else x
    with torch.no_grad():
        off = (model(half.clone()) - logits[: len(half)]).abs().max()
    share = in_double(off / logits.abs().max()).item()
    if share > _CHANGE:
        warnings.warn(
            f"The model answers the same image otherwise in another batch, or at a second call: "
            f"logits change by {share:.0%} of the largest. So results depend on the batch size or "
            "on chance. Look for dropout, or for statistics of the batch, that stay on in eval "
            "mode, such as F.dropout(x) without training=self.training.",
            stacklevel=4,
        )


def _refusal(model: Classifier, images: Images, error: Exception) -> str:
    """Say why the model does not take the images, and name a size that it takes."""
    _, channels, height, width = images.shape
    mend = "Give images [images, channel, height, width] such as it was trained on."
    if images.dtype not in (torch.uint8, torch.float32):
        mend = f"The images have dtype {images.dtype}: give them the model's, such as x.float()."
    elif isinstance(model, nn.Module):
        weights = {p.dtype for p in model.parameters()} - {torch.float32}
        mend = f"It has weights of {weights.pop()}: make it model.float()." if weights else mend
    for size in _SIZES:
        if height == width == size:
            continue
        with suppress(Exception), torch.no_grad():
            logits = model(torch.zeros(1, channels, size, size, device=images.device))
            if isinstance(logits, Tensor) and logits.ndim == 2:
                way = f"resize them (on the command line --image-size {size})."
                mend = f"It takes {size} x {size}: {way}"
                break
    reason = f" ({text})" if (text := str(error).partition("\n")[0].rstrip(".")) else ""
    found = f"images of {channels} x {height} x {width} pixels"
    return f"The model cannot take {found}{reason}. {mend}"
