"""Sampling of each image at its own places."""

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from freqreg.evaluation.corruptions.linear_maps import Boundary

Images = Float32[Tensor, "batch channel height width"]
Coordinates = Float32[Tensor, "batch rows columns"]


def gathered(
    images: Float[Tensor, "batch channel height width"], places: Int64[Tensor, "batch rows columns"]
) -> Float[Tensor, "batch channel rows columns"]:
    """Return each image's pixels at its places, row · width + column."""
    batch, channels = images.shape[:2]
    everywhere = places.flatten(1)[:, None].expand(batch, channels, -1)
    return images.flatten(2).gather(2, everywhere).view(batch, channels, *places.shape[1:])


def interpolated(
    images: Images, rows: Coordinates, columns: Coordinates, boundary: Boundary
) -> Float32[Tensor, "batch channel rows columns"]:
    """Interpolate each image linearly; `boundary` extends it."""
    height, width = images.shape[-2:]
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top)[:, None], (columns - left)[:, None]
    tops, bottoms = (boundary(top.long() + step, height) * width for step in (0, 1))
    lefts, rights = (boundary(left.long() + step, width) for step in (0, 1))
    # Two separate roundings give the same result in any batch; lerp may fuse them.
    upper, lower = (
        (start := gathered(images, row + lefts)) + (gathered(images, row + rights) - start) * right
        for row in (tops, bottoms)
    )
    return upper + (lower - upper) * down


def grid(
    height: int, width: int, device: torch.device
) -> tuple[Float32[Tensor, "height 1"], Float32[Tensor, " width"]]:
    """Return the rows and the columns of an image's pixels."""
    rows, columns = (torch.arange(n, dtype=torch.float32, device=device) for n in (height, width))
    return rows[:, None], columns


def affine_places(
    shifts: Float32[Tensor, "batch 3 2"], height: int, width: int
) -> tuple[Coordinates, Coordinates]:
    """Return the rows and columns that each pixel of an affinely mapped image comes from.

    `shifts` are the displacements in x and y of three corners of a central square two thirds of
    the image wide: bottom right, top right and top left.
    """
    reach = min(height, width) // 3
    corner_x, corner_y = width // 2 + reach, height // 2 - reach
    bottom, corner, left = (shift[..., None, None] for shift in shifts.unbind(1))
    # The map is corner + matrix @ (offset from the corner); its columns are x_ and y_.
    x_x, x_y = ((corner - left) / (2 * reach)).unbind(1)
    y_x, y_y = ((bottom - corner) / (2 * reach)).unbind(1)
    x_x, y_y = x_x + 1, y_y + 1
    rows, columns = grid(height, width, shifts.device)
    x, y = columns - corner_x - corner[:, 0], rows - corner_y - corner[:, 1]
    determinant = x_x * y_y - y_x * x_y
    return (
        (y * x_x - x * x_y) / determinant + corner_y,
        (x * y_y - y * y_x) / determinant + corner_x,
    )
