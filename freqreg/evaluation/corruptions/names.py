"""The 19 corruptions of CIFAR-10-C by its file names, how they are grouped, how they are saved."""

from typing import Literal

GROUPS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
"""The categories of Hendrycks & Dietterich (2019), each with its extra corruption last."""

EXTRA = tuple(names[-1] for names in GROUPS.values())
"""The four held out for validation: speckle noise, Gaussian blur, spatter, saturate."""

MAIN = tuple(name for names in GROUPS.values() for name in names[:-1])
"""The fifteen of the benchmark proper, which RobustBench averages over."""

CORRUPTIONS = MAIN + EXTRA

SEVERITIES = (1, 2, 3, 4, 5)

MADE_HERE = "made here"
"""The source of corrupted images that are nowhere stored."""

SavedAs = Literal["jpeg85", None]
"""What corrupted images went through before they are seen. "jpeg85": JPEG of quality 85, as the
released files of ImageNet-C and Tiny ImageNet-C. None: nothing, as those of CIFAR-10-C."""
