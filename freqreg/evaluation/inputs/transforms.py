"""A model's own evaluation transform of pictures: resize and crop."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from freqreg.errors import SettingError

if TYPE_CHECKING:
    from PIL.Image import Image


Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
CropMode = Literal["center", "squash", "border"]
INTERPOLATIONS, CROP_MODES = get_args(Interpolation), get_args(CropMode)
LARGEST_SHARE = 1.25  # a model of timm has 1.15: its pictures get a border


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

    Raises:
        SettingError: one of them is out of range.
    """

    size: tuple[int, int]
    crop_share: float = 1.0
    interpolation: Interpolation = "bicubic"
    crop_mode: CropMode = "center"
    fill: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        colour = isinstance(self.fill, tuple) and len(self.fill) == 3
        valid = {
            "size": len(self.size) == 2 and all(type(n) is int and n > 0 for n in self.size),
            "crop_share": _lies(self.crop_share, LARGEST_SHARE) and self.crop_share > 0,
            "interpolation": self.interpolation in INTERPOLATIONS,
            "crop_mode": self.crop_mode in CROP_MODES,
            "fill": colour and all(_lies(level, 1) for level in self.fill),
        }
        if wrong := next((name for name, fits in valid.items() if not fits), None):
            raise SettingError(
                f"{wrong} is {getattr(self, wrong)!r}; needed are size (height, width) in pixels, "
                f"crop_share up to {LARGEST_SHARE}, "
                f"interpolation ({', '.join(INTERPOLATIONS)}), crop_mode "
                f"({', '.join(CROP_MODES)}) and a fill of 3 levels in [0, 1]. Correct it."
            )

    def __str__(self) -> str:
        way = f"crop share {self.crop_share:g}, {self.crop_mode}, {self.interpolation}"
        return "of {}×{} pixels ({})".format(*self.size, way)

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


def _lies(value: Any, high: float) -> bool:
    return isinstance(value, int | float) and 0 <= value <= high


IMAGENET_C = EvalTransform((224, 224), crop_share=224 / 256, interpolation="bilinear")
"""ImageNet-C's transform before the corruption: shorter side to 256 pixels, middle cropped."""
