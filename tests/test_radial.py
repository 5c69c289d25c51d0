"""Shares of power by radius: the published definition, and what must hold of any images."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses import FakeTensorMode

from freqreg import radial_shares
from freqreg.errors import InputError
from freqreg.radial import radii_within
from tests.references import dft_matrix, published_shares

SIZES = st.tuples(st.integers(2, 13), st.integers(2, 13))


def images(height: int, width: int, seed: int = 0, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, height, width, generator=generator, dtype=torch.float64)


def wave(down: int, across: int, height: int, width: int) -> Tensor:
    rows, columns = torch.arange(height)[:, None] / height, torch.arange(width) / width
    return torch.cos(2 * math.pi * (down * rows + across * columns) + 0.3)[None, None].double()


def shares_by_loops(x: Tensor) -> dict[int, Tensor]:
    """Over the whole plane, frequency by frequency, for any size."""
    height, width = x.shape[-2:]
    power = (
        (dft_matrix(height) @ x.mean(1).to(torch.complex128) @ dft_matrix(width).T).abs().square()
    )
    power[:, 0, 0] = 0
    found: dict[int, Tensor] = {}
    for i in range(height):
        for j in range(width):
            u, v = min(i, height - i) / height, min(j, width - j) / width
            radius = max(1, math.floor(math.hypot(u, v) * min(height, width) + 0.5 + 1e-12))
            found[radius] = found.get(radius, 0) + power[:, i, j] / power.sum((1, 2))
    return {radius: share.mean() for radius, share in found.items()}


@pytest.mark.parametrize("size", [8, 32, 48, 64])
def test_shares_are_the_published_ones(size: int) -> None:
    x = images(size, size)
    torch.testing.assert_close(radial_shares(x), published_shares(x), rtol=1e-12, atol=1e-14)


def test_images_of_32_pixels_have_23_radii() -> None:
    assert len(radial_shares(images(32, 32))) == 23


@given(SIZES, st.integers(0, 99))
def test_any_size_equals_a_sum_over_the_whole_plane(size: tuple[int, int], seed: int) -> None:
    x = images(*size, seed)
    shares, expected = radial_shares(x), shares_by_loops(x)
    assert max(expected) == len(shares)
    for radius, share in enumerate(shares, 1):
        torch.testing.assert_close(share, torch.as_tensor(expected.get(radius, 0.0)).double())


def test_an_edge_that_rounds_down_still_holds_its_radius() -> None:
    assert 0.29 * 200 / 2 < 29
    assert radii_within((0, 0.29), 40, 200).index(False) == 29


@pytest.mark.parametrize("size", [9, 33])
def test_odd_sizes_padded_by_hand_are_the_published_ones(size: int) -> None:
    padded = F.pad(images(size, size), (0, 1, 0, 1))
    torch.testing.assert_close(radial_shares(padded), published_shares(padded))


@pytest.mark.parametrize(
    ("down", "across", "height", "width", "radius"),
    [(3, 0, 16, 16, 3), (3, 4, 16, 16, 5), (0, 6, 16, 32, 3), (5, 0, 32, 16, 3), (0, 1, 8, 64, 1)],
)
def test_a_wave_lies_at_its_radius(
    down: int, across: int, height: int, width: int, radius: int
) -> None:
    shares = radial_shares(wave(down, across, height, width))
    assert shares[radius - 1].item() == pytest.approx(1)


@given(SIZES, st.integers(0, 99))
def test_shares_sum_to_1(size: tuple[int, int], seed: int) -> None:
    shares = radial_shares(images(*size, seed))
    assert shares.sum().item() == pytest.approx(1, abs=1e-12)
    assert (shares >= 0).all()


@given(st.lists(st.floats(-200, 200), min_size=3, max_size=3), st.integers(0, 99))
def test_the_scale_of_each_image_does_not_matter(exponents: list[float], seed: int) -> None:
    x = images(8, 8, seed)
    scales = torch.tensor([10.0**e for e in exponents], dtype=torch.float64)
    torch.testing.assert_close(radial_shares(x * scales[:, None, None, None]), radial_shares(x))


@given(st.permutations(range(5)), st.permutations(range(3)), st.integers(0, 99))
def test_the_order_of_images_and_channels_does_not_matter(
    batch: list[int], channels: list[int], seed: int
) -> None:
    x = images(6, 7, seed, batch=5)
    torch.testing.assert_close(radial_shares(x[batch][:, channels]), radial_shares(x))


@given(st.integers(0, 99))
def test_the_mean_of_an_image_does_not_matter(seed: int) -> None:
    x = images(8, 8, seed)
    torch.testing.assert_close(radial_shares(x + 100), radial_shares(x))


def test_joined_batches_have_the_mean_of_their_shares() -> None:
    x = images(8, 8, batch=6)
    each = torch.stack([radial_shares(row[None]) for row in x])
    torch.testing.assert_close(radial_shares(x), each.mean(0))


@given(st.floats(0, 1), SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constant_images_are_left_out(
    dtype: torch.dtype, value: float, size: tuple[int, int]
) -> None:
    x = images(*size).to(dtype)
    constant = torch.full_like(x, value)
    constant[:, 1] /= 7
    constant *= 1 + torch.finfo(dtype).eps * torch.randint_like(constant, 2)  # up to rounding
    torch.testing.assert_close(radial_shares(torch.cat([x, constant])), radial_shares(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_images_whose_channels_cancel_are_left_out(dtype: torch.dtype, scale: float) -> None:
    """As the gradient of a model that subtracts the channels' mean; little else is something."""
    x = images(8, 8, 1).to(dtype)
    cancelling = (x - x.mean(1, keepdim=True)) * scale
    torch.testing.assert_close(radial_shares(torch.cat([x, cancelling])), radial_shares(x))
    little = cancelling + 1e-4 * scale * x
    torch.testing.assert_close(radial_shares(little), radial_shares(x), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("size", [(32, 32), (7, 10)])
def test_where_all_are_constant_the_shares_are_those_of_white_noise(size: tuple[int, int]) -> None:
    zero = torch.zeros(2, 3, *size, requires_grad=True)
    shares = radial_shares(zero)
    (slope,) = torch.autograd.grad(shares[0], zero)
    assert not slope.any()
    torch.testing.assert_close(shares.sum(), torch.tensor(1.0))
    noise = radial_shares(torch.randn(4096, 1, *size))
    torch.testing.assert_close(shares.detach(), noise, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_not_hidden(value: float) -> None:
    x = images(8, 8)
    x[1, 0, 2, 2] = value
    assert radial_shares(x).isnan().all()
    assert radial_shares(x[1:2]).isnan().all()


def test_tiny_images_of_single_precision_do_not_underflow() -> None:
    x = images(8, 8).float()
    torch.testing.assert_close(radial_shares(x * 1e-30), radial_shares(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    x = torch.rand(2, 3, 8, 8).to(dtype)
    shares = radial_shares(x)
    assert shares.dtype == torch.float32
    torch.testing.assert_close(shares, radial_shares(x.double()).float())


def test_gradients_are_exact() -> None:
    x = images(5, 6).requires_grad_()
    assert torch.autograd.gradcheck(radial_shares, x)
    assert torch.autograd.gradgradcheck(radial_shares, x)


def test_fake_tensors_leave_no_trace() -> None:
    with FakeTensorMode():
        assert radial_shares(torch.ones(2, 3, 10, 11)).shape == (7,)
    assert radial_shares(images(10, 11)).sum().item() == pytest.approx(1)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 1, 8), (8, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="2 pixels or more"):
        radial_shares(torch.rand(shape))
