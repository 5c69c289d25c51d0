"""The 19 corruptions of CIFAR-10-C by its file names, and how they are grouped."""

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
