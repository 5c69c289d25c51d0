"""Folders that the `save_pretrained` of transformers left: a classifier and its image processor."""

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
from freqreg.evaluation.inputs.loaded_model import CheckpointError, LoadedModel, Normalized

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 64
SAVE = "Save the one that it was trained with beside it: processor.save_pretrained(folder)."

logger = logging.getLogger(__name__)


class Logits(nn.Module):
    """The logits alone of a classifier of transformers that takes `pixel_values`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of normalised images."""
        return self.model(pixel_values=x).logits


class Reordered(nn.Module):
    """RGB images with the channels in another order."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.order = order

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The same images, channels reordered."""
        return x[:, self.order]


@dataclass(frozen=True, eq=False)
class ProcessorTransform:
    """How an image processor shows a picture, as pixels of RGB before it normalises them."""

    processor: Any
    pixels: AffinePixels
    size: tuple[int, int]

    def __call__(self, picture: "Image") -> UInt8[Tensor, "channel height width"]:
        """The picture as the model is shown it."""
        (output,) = self.processor(images=picture, return_tensors="pt")["pixel_values"]
        order, mean, std = self.pixels
        shown = output.float() * std[:, None, None] + mean[:, None, None]
        return (shown * 255).round().clamp(0, 255).byte()[torch.tensor(order).argsort()]


def from_folder(folder: Path, config: Mapping[str, Any]) -> LoadedModel:
    """The classifier in a folder, shown images as its image processor does.

    Attention is computed by operations that have a second derivative.

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
    if pixels.std.max() < 0.01 and getattr(processor, "do_normalize", False):
        logger.warning(
            f"{folder}: the image processor normalises pixels in 0..255, as do_rescale is False."
        )
    network = Normalized(Logits(model), pixels.mean.tolist(), pixels.std.tolist())
    network = (
        network if pixels.order == [0, 1, 2] else nn.Sequential(Reordered(pixels.order), network)
    )
    named = {int(place): str(name) for place, name in model.config.id2label.items()}
    names = tuple(named.get(place, "") for place in range(model.config.num_labels))
    if all(name == f"LABEL_{place}" for place, name in named.items()):
        names = None  # the numbers that transformers puts where there are no names
    return LoadedModel(
        str(folder),
        network,
        {"model": config.get("model_type")},
        _transform(processor, pixels),
        names,
    )


def _classifier(folder: Path) -> Any:
    with extra("transformers", f"{folder} needs transformers"):
        from transformers import AutoModelForImageClassification
    try:
        model, found = AutoModelForImageClassification.from_pretrained(
            folder,
            attn_implementation="eager",
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
        )
    except Exception as error:  # of many kinds, by what is damaged
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
    """How pictures are shown; None where that leaves their size alone."""
    blanks = [torch.zeros(side, side, 3, dtype=torch.uint8).numpy() for side in (SIDE, 2 * SIDE)]
    outputs = (processor(images=blank, return_tensors="pt")["pixel_values"] for blank in blanks)
    sizes = {tuple(output.shape[-2:]) for output in outputs}
    return ProcessorTransform(processor, pixels, sizes.pop()) if len(sizes) == 1 else None
