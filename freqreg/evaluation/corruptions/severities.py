"""The severity constants of CIFAR-10-C, Tiny ImageNet-C and ImageNet-C.

Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv:1903.12261: the constants of the programs that made the three
data sets, at 32, 64 and 224 pixels. Lengths are in pixels of that size, levels in units of the
full range.
"""

import math

Constants = tuple[float, ...]

TABLES: dict[str, dict[int, tuple[Constants, ...]]] = {
    # standard deviation
    "gaussian_noise": {
        32: ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),
        64: ((0.04,), (0.08,), (0.12,), (0.15,), (0.18,)),
        224: ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
    },
    # photons at full level
    "shot_noise": {
        32: ((500,), (250,), (100,), (75,), (50,)),
        64: ((250,), (100,), (50,), (30,), (15,)),
        224: ((60,), (25,), (12,), (5,), (3,)),
    },
    # share of the values replaced
    "impulse_noise": {
        32: ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),
        64: ((0.01,), (0.02,), (0.05,), (0.08,), (0.14,)),
        224: ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
    },
    # standard deviation relative to the level
    "speckle_noise": {
        32: ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),
        64: ((0.15,), (0.2,), (0.25,), (0.3,), (0.35,)),
        224: ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,)),
    },
    # radius of the disk, standard deviation of its anti-aliasing
    "defocus_blur": {
        32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        64: ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    },
    # standard deviation of the blur, largest displacement, repetitions
    "glass_blur": {
        32: ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        64: ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        224: ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    },
    # radius, standard deviation
    "motion_blur": {
        32: ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        64: ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    },
    # step between the zoom factors, number of them; the first is 1
    "zoom_blur": {
        32: ((0.01, 7), (0.01, 12), (0.01, 16), (0.01, 21), (0.01, 26)),
        64: ((0.01, 7), (0.01, 12), (0.01, 16), (0.01, 21), (0.01, 26)),
        224: ((0.01, 12), (0.01, 16), (0.02, 11), (0.02, 13), (0.03, 11)),
    },
    # standard deviation
    "gaussian_blur": {
        32: ((0.4,), (0.6,), (0.7,), (0.8,), (1,)),
        64: ((0.5,), (0.75,), (1,), (1.25,), (1.5,)),
        224: ((1,), (2,), (3,), (4,), (6,)),
    },
    # mean and standard deviation of the flakes, their zoom, the threshold below which there are
    # none, radius and standard deviation of their motion, share of the image kept
    "snow": {
        32: (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        64: (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
        224: (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    },
    # weight of the image, weight of the frost, magnification of the frost's photograph
    "frost": {
        32: ((1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)),
        64: ((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
        224: ((1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)),
    },
    # thickness, decay of the fog's detail from one scale to the next finer
    "fog": {
        32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        64: ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    },
    # what is added to HSV's value
    "brightness": {
        32: ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),
        64: ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
        224: ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,)),
    },
    # mean, standard deviation and smoothing of the liquid, the threshold below which there is
    # none, opacity of water or smoothing of mud, 0 for water and 1 for mud
    "spatter": {
        32: (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        64: (
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
        224: (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
    },
    # contrast that remains
    "contrast": {
        32: ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),
        64: ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
        224: ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,)),
    },
    # size of the displacements, their smoothing, largest shift of the affine map's three points,
    # all relative to the image; ImageNet-C's were taken relative to 244 pixels, by a slip there
    "elastic_transform": {
        32: (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        64: (
            (0, 0, 0.08),
            (0.05, 0.3, 0.06),
            (0.1, 0.08, 0.06),
            (0.1, 0.03, 0.03),
            (0.16, 0.03, 0.02),
        ),
        224: tuple(
            tuple(share * 244 / 224 for share in shares)
            for shares in (
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
    },
    # size relative to the image's
    "pixelate": {
        32: ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
        64: ((0.9,), (0.8,), (0.7,), (0.6,), (0.5,)),
        224: ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
    },
    # quality
    "jpeg_compression": {
        32: ((80,), (65,), (58,), (50,), (40,)),
        64: ((65,), (58,), (50,), (40,), (25,)),
        224: ((25,), (18,), (15,), (10,), (7,)),
    },
    # factor of HSV's saturation, what is added to it
    "saturate": {
        32: ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        64: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
        224: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    },
}


def constants(name: str, severity: int, shorter_side: int) -> Constants:
    """The constants of a corruption, from the table whose size is nearest by ratio."""
    tables = TABLES[name]
    size = min(tables, key=lambda size: abs(math.log(shorter_side / size)))
    return tables[size][severity - 1]
