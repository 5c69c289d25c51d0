"""Separable linear maps of images, exact in float64, so that no result depends on the batch.

Weights are multiples of 2^-18; images are integers up to 255, or multiples of 2^-14 up to 8 in
size. Every product and sum of a map along both axes then has at most 53 bits, so the order of
additions does not matter. The weights of each output sum to exactly 1, so a flat image stays flat.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from einops import rearrange
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

Levels = Float32[Tensor, "batch 3 height width"]  # from 0 to 255
ExactLevels = Float64[Tensor, "batch 3 height width"]
Images = Float[Tensor, "*batch height width"]
Matrix = Float64[Tensor, "out size"]
Places = Int64[Tensor, "*shape"]
Boundary = Callable[[Places, int], Places]  # maps places beyond an axis of a size onto it

_WEIGHT_STEPS = 2**18
_VALUE_STEPS = 2**14


def rounded(levels: Float32[Tensor, "*shape"]) -> Float32[Tensor, "*shape"]:
    """Round to whole levels, halves up."""
    return (levels + 0.5).floor_()


def nearest(places: Places, size: int) -> Places:
    """Repeat the edge: a a | a b c."""
    return places.clamp(0, size - 1)


def mirrored(places: Places, size: int) -> Places:
    """Mirror between edge and outside: b a | a b c."""
    folded = places.remainder(2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded)


def mirrored_about_edge(places: Places, size: int) -> Places:
    """Mirror about the outermost pixel: c b | a b c."""
    period = max(2 * size - 2, 1)
    folded = places.remainder(period)
    return torch.minimum(folded, period - folded)


def on_grid(values: Float[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Round values to multiples of 2^-14, as exact maps need them."""
    return (values.double() * _VALUE_STEPS).round_().div_(_VALUE_STEPS)


def exact(matrix: Matrix) -> Matrix:
    """Round weights to multiples of 2^-18 with rows that sum to 1; the largest takes the rest."""
    rounded = (matrix / matrix.sum(1, keepdim=True) * _WEIGHT_STEPS).round()
    missing = _WEIGHT_STEPS - rounded.sum(1, keepdim=True)
    largest = rounded.argmax(1, keepdim=True)
    return rounded.scatter_add(1, largest, missing) / _WEIGHT_STEPS


def apply(
    images: Images,
    rows: Float64[Tensor, "new_height height"],
    columns: Float64[Tensor, "new_width width"],
) -> Float64[Tensor, "*batch new_height new_width"]:
    """Map each image along its height by `rows` and along its width by `columns`."""
    return rows @ (images.double() @ columns.T)


def filter_matrix(weights: Float64[Tensor, " taps"], size: int, boundary: Boundary) -> Matrix:
    """Make the correlation with an odd number of centred taps along an axis of `size`."""
    radius = len(weights) // 2
    output = torch.arange(size)[:, None]
    places = boundary(output + torch.arange(-radius, radius + 1), size)
    empty = torch.zeros(size, size, dtype=torch.float64)
    return empty.scatter_add(1, places, weights.expand(size, -1))


def gaussian_weights(deviation: float, radius: int) -> Float64[Tensor, " taps"]:
    """Sample and normalise a Gaussian; deviation 0 is the identity."""
    squares = torch.arange(-radius, radius + 1, dtype=torch.float64).square()
    return torch.softmax(-squares / (2 * max(deviation, 1e-9) ** 2), dim=0)


@lru_cache(maxsize=64)
def gaussian_matrix(
    deviation: float, size: int, boundary: Boundary, truncate: float, device: torch.device
) -> Matrix:
    """Make a Gaussian blur along an axis, cut off at `truncate` deviations."""
    weights = gaussian_weights(deviation, int(truncate * deviation + 0.5))
    return exact(filter_matrix(weights, size, boundary)).to(device)


def gaussian_blurred(
    images: Images, deviation: float, boundary: Boundary = nearest, truncate: float = 4.0
) -> Float64[Tensor, "*batch height width"]:
    """Blur integers up to 255, or values `on_grid`, by a Gaussian."""
    rows, columns = (
        gaussian_matrix(deviation, size, boundary, truncate, images.device)
        for size in images.shape[-2:]
    )
    return apply(images, rows, columns)


@lru_cache(maxsize=256)
def zoom_matrix(factor: float, size: int, device: torch.device) -> Matrix:
    """Make a linearly interpolated enlargement of the middle of an axis by `factor`.

    As in CIFAR-10-C: the middle ceil(size / factor) pixels are stretched, end to end, to their
    number times `factor`, of which the middle `size` are kept.
    """
    cropped = math.ceil(size / factor)
    enlarged = round(cropped * factor)
    outputs = torch.arange(size, dtype=torch.float64) + (enlarged - size) // 2
    places = outputs * ((cropped - 1) / max(enlarged - 1, 1))
    inputs = torch.arange(cropped, dtype=torch.float64)
    weights = (1 - (places[:, None] - inputs).abs()).clamp(min=0)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    top = (size - cropped) // 2
    matrix[:, top : top + cropped] = weights
    return exact(matrix).to(device)


@lru_cache(maxsize=8)
def summed_zooms(
    factors: tuple[float, ...], height: int, width: int, device: torch.device
) -> Float64[Tensor, "pixels pixels"]:
    """Make the sum of an image's enlargements as one sparse map, with far fewer products."""
    places, weights = [], []
    for factor in factors:
        rows, columns = (zoom_matrix(factor, size, device) for size in (height, width))
        row_out, row_in = rows.nonzero().unbind(1)
        column_out, column_in = columns.nonzero().unbind(1)
        outputs = row_out[:, None] * width + column_out
        inputs = row_in[:, None] * width + column_in
        both = rows[row_out, row_in][:, None] * columns[column_out, column_in]
        places.append(torch.stack([outputs.flatten(), inputs.flatten()]))
        weights.append(both.flatten())
    pixels = height * width
    return torch.sparse_coo_tensor(
        torch.cat(places, 1), torch.cat(weights), (pixels, pixels), check_invariants=False
    ).coalesce()


def apply_sparse(sparse: Float64[Tensor, "pixels pixels"], images: ExactLevels) -> ExactLevels:
    """Map each channel of each image as a vector of pixels."""
    columns = rearrange(images, "b c h w -> (h w) (b c)").contiguous()
    return torch.sparse.mm(sparse, columns).T.reshape(images.shape)


@lru_cache(maxsize=64)
def box_memberships(size: int, new_size: int, device: torch.device) -> Float[Tensor, "new size"]:
    """Mark by 1 or 0 which pixels Pillow's BOX filter averages for each of `new_size` outputs.

    A pixel counts if its centre lies in the output's span, without the lower end. Neighbouring
    outputs share no pixel, unlike those of torch's "area" interpolation.
    """
    scale = size / new_size
    centres = (torch.arange(new_size, dtype=torch.float64) + 0.5)[:, None] * scale
    distances = torch.arange(size, dtype=torch.float64) + 0.5 - centres
    half_span = max(scale, 1.0) / 2
    return ((distances > -half_span) & (distances <= half_span)).float().to(device)
