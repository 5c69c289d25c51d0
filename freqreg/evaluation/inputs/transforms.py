"""A model's own evaluation transform of pictures: resize and crop."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image


Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
CropMode = Literal["center", "squash", "border"]
INTERPOLATIONS, CROP_MODES = get_args(Interpolation), get_args(CropMode)


@runtime_checkable
class PictureTransform(Protocol):
    """A transform of RGB pictures to a model's pixels."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        ...

    def __call__(self, picture: "Image") -> UInt8[Tensor, "channel height width"]:
        """Return the picture as the model sees it."""
        ...


@dataclass(frozen=True)
class EvalTransform:
    """Resize and crop of an RGB picture, by timm's own evaluation transform.

    Args:
        size: height and width of the result, in pixels.
        crop_share: side of the crop as a share of the resized picture.
        interpolation: of the resize.
        crop_mode: "center": resize the shorter side, crop the middle. "squash": resize both sides.
            "border": resize the longer side, fill the rest.
        fill: colour of the border per channel, in [0, 1].
    """

    size: tuple[int, int]
    crop_share: float = 1.0
    interpolation: Interpolation = "bicubic"
    crop_mode: CropMode = "center"
    fill: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __call__(self, picture: "Image") -> UInt8[Tensor, "channel height width"]:
        """Return the picture as the model sees it."""
        return torch.from_numpy(np.ascontiguousarray(self._steps(picture)))

    @cached_property
    def _steps(self) -> Any:
        from timm.data.transforms_factory import transforms_imagenet_eval

        return transforms_imagenet_eval(
            self.size,
            crop_pct=self.crop_share,
            crop_mode=self.crop_mode,
            interpolation=self.interpolation,
            mean=self.fill,
            use_prefetcher=True,
        )


IMAGENET_C = EvalTransform((224, 224), crop_share=224 / 256, interpolation="bilinear")
"""ImageNet-C's transform before the corruption: shorter side to 256 pixels, middle cropped."""
