"""The 19 corruptions of CIFAR-10-C by file name, their groups, and how images are saved."""

from typing import Literal

GROUPS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
"""Categories of Hendrycks & Dietterich (2019), each with its extra corruption last."""

EXTRA = tuple(names[-1] for names in GROUPS.values())  # held out for validation
MAIN = tuple(name for names in GROUPS.values() for name in names[:-1])  # RobustBench's fifteen
CORRUPTIONS = MAIN + EXTRA
SEVERITIES = (1, 2, 3, 4, 5)

MADE_HERE = "made here"  # source of corrupted images that are not stored

SavedAs = Literal["jpeg85", None]
"""Format in which corrupted images were saved. "jpeg85": JPEG of quality 85, as ImageNet-C and
Tiny ImageNet-C were released. None: without loss, as CIFAR-10-C."""
