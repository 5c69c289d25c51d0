"""Folders of transformers' `save_pretrained`: a classifier and its image processor."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from freqreg._extras import extra
from freqreg._image_processors import AffinePixels, affine_pixels
from freqreg.errors import SettingError
from freqreg.evaluation.inputs.loaded_model import (
    CheckpointError,
    LoadedModel,
    Normalized,
    Pixels,
    names_in_order,
)
from freqreg.evaluation.inputs.normalisation import LOWEST_STD, normalized

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 64
SAVE = "Save the one of its training in the same folder: processor.save_pretrained(folder)."

logger = logging.getLogger(__name__)


class Logits(nn.Module):
    """The logits of a classifier of transformers; `order` lists the RGB channels that it takes."""

    def __init__(self, model: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.model, self.order = model, order

    def forward(self, x: Pixels) -> Float[Tensor, "batch classes"]:
        """Return the logits of normalised RGB images."""
        values = x if self.order == sorted(self.order) else x[:, self.order]
        return self.model(pixel_values=values).logits


@dataclass(frozen=True, eq=False)
class ProcessorTransform:
    """An image processor without its normalisation, as a transform of pictures to RGB pixels."""

    processor: Any
    pixels: AffinePixels
    size: tuple[int, int]

    def __str__(self) -> str:
        return "of {}×{} pixels".format(*self.size)

    def __call__(self, picture: "Image") -> UInt8[Tensor, "channel height width"]:
        """Return the picture as the model sees it."""
        (output,) = self.processor(images=picture, return_tensors="pt")["pixel_values"]
        order, mean, std = self.pixels
        shown = output.float() * std[:, None, None] + mean[:, None, None]
        return (shown * 255).round().clamp(0, 255).byte()[torch.tensor(order).argsort()]


def from_folder(folder: Path, config: Mapping[str, Any]) -> LoadedModel:
    """Load the classifier in a folder, with its image processor's transform.

    Its attention has a second derivative.

    Raises:
        CheckpointError: weights or image processor are missing or do not fit.
    """
    model = _classifier(folder)
    from transformers import AutoImageProcessor

    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        pixels = affine_pixels(processor, SAVE)
    except SettingError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder} has no image processor, which says how images are resized and normalised. "
            + SAVE
        ) from error
    is_scaled = pixels.std.max() >= LOWEST_STD or getattr(processor, "do_rescale", True)
    if not is_scaled and getattr(processor, "do_normalize", False):
        logger.warning(
            f"{folder}: the image processor normalises pixels in 0..255, as do_rescale is False."
        )
    rgb = torch.tensor(pixels.order).argsort()
    values = pixels.mean[rgb].tolist(), pixels.std[rgb].tolist()
    logits = Logits(model, pixels.order)
    where = f"{folder}: the image processor"
    network = normalized(logits, *values, where) if is_scaled else Normalized(logits, *values)
    named = model.config.id2label
    are_placeholders = all(name == f"LABEL_{place}" for place, name in named.items())
    classes = model.config.num_labels
    names = None if are_placeholders else names_in_order(named, classes, f"{folder}: id2label")
    about = {"model": config.get("model_type")}
    transform = _transform(processor, pixels)
    return LoadedModel(str(folder), network, about, transform, names, "the image processor")


def _classifier(folder: Path) -> Any:
    with extra("transformers", f"{folder} needs transformers"):
        from transformers import AutoModelForImageClassification
    try:
        model, found = AutoModelForImageClassification.from_pretrained(
            folder,
            attn_implementation="eager",
            dtype=torch.float32,
            ignore_mismatched_sizes=True,  # refused below
            output_loading_info=True,
            local_files_only=True,
        )
    except Exception as error:  # its type depends on the damage
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise CheckpointError(
            f"{folder} is of transformers, but no image classifier can be loaded from it: "
            f"{reason} Give what AutoModelForImageClassification loads, with its weights."
        ) from error
    lacking = sorted({*found["missing_keys"], *(k for k, *_ in found["mismatched_keys"])})
    if lacking:
        raise CheckpointError(
            f"{folder} has no weights for {len(lacking)} parts of {type(model).__name__}, such as "
            f"{lacking[0]}: they would be random. Was it saved as a classifier, and trained?"
        )
    return model


def _transform(processor: Any, pixels: AffinePixels) -> ProcessorTransform | None:
    """Return the processor as a transform; None if it leaves the size of pictures unchanged."""
    blanks = [torch.zeros(side, side, 3, dtype=torch.uint8).numpy() for side in (SIDE, 2 * SIDE)]
    outputs = (processor(images=blank, return_tensors="pt")["pixel_values"] for blank in blanks)
    sizes = {tuple(output.shape[-2:]) for output in outputs}
    return ProcessorTransform(processor, pixels, sizes.pop()) if len(sizes) == 1 else None
