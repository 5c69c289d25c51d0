import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from freqreg import FGSM, NFGSM, PGD, Mix, Objective, PixelSpace
from freqreg.errors import InputError
from freqreg.mixers import Mixer

IMAGENET = PixelSpace(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
SPACES = [PixelSpace(), PixelSpace(0.5, 0.25), IMAGENET, PixelSpace(low=0, high=255)]
EPS = 0.03
MIXERS: list[Mixer] = [
    FGSM(EPS),
    FGSM(EPS, start="random"),
    PGD(EPS, steps=3, step_size=0.02),
    PGD(EPS, steps=3, step_size=0.02, start="zero"),
    Mix(PGD(EPS, steps=2), fraction=0.5),
]


def normalised(pixels: Tensor, space: PixelSpace) -> Tensor:
    mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in (space.mean, space.std))
    return (pixels - mean) / std


def pixels_of(inputs: Tensor, space: PixelSpace) -> Tensor:
    mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in (space.mean, space.std))
    return inputs * std + mean


def towards(x: Tensor) -> Tensor:
    """A gradient that pushes some pixels up and others down."""
    return torch.sin(1000 * x)


@pytest.mark.parametrize("space", SPACES, ids=repr)
@pytest.mark.parametrize("mixer", MIXERS, ids=repr)
@given(seed=st.integers(0, 99))
def test_mixed_images_stay_in_the_ball_and_in_the_range(
    mixer: Mixer, space: PixelSpace, seed: int
) -> None:
    torch.manual_seed(seed)
    clean = (torch.rand(4, 3, 5, 5) * 1.2 - 0.1).clamp(0, 1)
    clean = space.low + (space.high - space.low) * clean
    mixed = pixels_of(mixer(normalised(clean, space), towards, space), space)
    rounding = 1e-4 * (space.high - space.low)
    assert ((mixed - clean).abs() <= EPS + rounding).all()
    assert (mixed >= space.low - rounding).all()
    assert (mixed <= space.high + rounding).all()
    assert (mixed != clean).any()


@pytest.mark.parametrize("mixer", MIXERS, ids=repr)
def test_the_same_pixels_move_alike_in_every_normalisation(mixer: Mixer) -> None:
    clean = torch.rand(4, 3, 5, 5, dtype=torch.float64)
    found = []
    for space in (PixelSpace(), PixelSpace(0.5, 0.25), IMAGENET):
        torch.manual_seed(3)
        inputs = normalised(clean, space)
        mixed = mixer(inputs, lambda z, s=space: towards(pixels_of(z, s)), space)
        found.append(pixels_of(mixed, space))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("mixer", MIXERS, ids=repr)
def test_pixels_outside_the_range_move_no_further_out(mixer: Mixer) -> None:
    erased = torch.randn(4, 3, 5, 5) * 3
    mixed = mixer(erased, towards, PixelSpace())
    assert (mixed <= erased.clamp(min=1) + 1e-6).all()
    assert (mixed >= erased.clamp(max=0) - 1e-6).all()
    assert ((mixed - erased).abs() <= EPS + 1e-6).all()


def test_noise_fgsm_leaves_the_ball_but_not_the_range() -> None:
    clean = torch.rand(16, 3, 8, 8)
    mixed = NFGSM(EPS)(clean, towards, PixelSpace())
    away = (mixed - clean).abs().max()
    assert 2.5 * EPS < away <= 3 * EPS + 1e-6
    assert mixed.min() >= 0
    assert mixed.max() <= 1


def test_noise_fgsm_starts_from_noise_of_twice_the_radius() -> None:
    starts: list[Tensor] = []
    clean = torch.full((16, 3, 8, 8), 0.5)

    def grad_at(point: Tensor) -> Tensor:
        starts.append(point)
        return torch.ones_like(point)

    mixed = NFGSM(EPS)(clean, grad_at, PixelSpace())
    noise = starts[0] - clean
    assert 1.9 * EPS < noise.abs().max() <= 2 * EPS + 1e-6
    torch.testing.assert_close(mixed, starts[0] + EPS)


def test_fgsm_alpha_matters_only_with_a_random_start() -> None:
    clean = torch.rand(4, 3, 5, 5) * 0.8 + 0.1
    zero = [FGSM(EPS, alpha=a)(clean, towards, PixelSpace()) for a in (1.0, 1.25)]
    torch.testing.assert_close(*zero)
    short = FGSM(EPS, alpha=0.5)(clean, towards, PixelSpace())
    torch.testing.assert_close((short - clean).abs().max(), torch.tensor(0.5 * EPS))


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 5), (0.25, 2), (1.0, 10), (0.3, 3)])
def test_mix_takes_a_fresh_share_and_keeps_the_order(fraction: float, count: int) -> None:
    clean = torch.rand(10, 3, 4, 4) * 0.5 + 0.25
    mixer = Mix(FGSM(EPS), fraction=fraction)
    subsets = set()
    for _ in range(5):
        mixed = mixer(clean, torch.ones_like, PixelSpace())
        changed = (mixed != clean).flatten(1).any(1)
        assert changed.sum() == count
        torch.testing.assert_close(mixed[changed], clean[changed] + EPS)
        subsets.add(tuple(changed.tolist()))
    assert len(subsets) > 1 or count == 10


def test_pgd_shares_the_clean_gradient_only_from_zero() -> None:
    clean = torch.rand(2, 3, 4, 4)
    asked: list[Tensor] = []

    def grad_at(point: Tensor) -> Tensor:
        asked.append(point)
        return torch.ones_like(point)

    PGD(EPS, steps=3, start="zero")(clean, grad_at, PixelSpace())
    assert asked[0] is clean
    asked.clear()
    PGD(EPS, steps=3)(clean, grad_at, PixelSpace())
    assert not any(point is clean for point in asked)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("mixer", MIXERS, ids=repr)
def test_the_dtype_of_the_images_stays(mixer: Mixer, dtype: torch.dtype) -> None:
    clean = torch.rand(2, 3, 4, 4).to(dtype)
    assert mixer(clean, lambda z: towards(z.float()), IMAGENET).dtype == dtype


def test_undeclared_normalisation_is_refused_and_erased_pixels_are_not() -> None:
    clean = torch.rand(8, 3, 16, 16)
    with pytest.raises(InputError, match="outside the pixel range"):
        PixelSpace().require_inputs(normalised(clean, IMAGENET))
    erased = normalised(clean, IMAGENET)
    erased[:, :, 4:12, 4:12] = torch.randn(8, 3, 8, 8) * 3
    IMAGENET.require_inputs(erased)


def test_mean_and_std_may_be_tensors_and_stay_hashable() -> None:
    space = PixelSpace(torch.tensor([0.5, 0.25]), std=[0.5, 0.2])
    assert hash(space) == hash(PixelSpace((0.5, 0.25), (0.5, 0.2)))


def test_a_declared_range_of_other_images_is_refused() -> None:
    x = torch.rand(4, 3, 8, 8)
    with pytest.raises(InputError, match="hundredth of the pixel range"):
        Objective((), FGSM(eps=8), pixels=PixelSpace(high=255))(torch.sum, x)
    PixelSpace(high=255).require_inputs(255 * x)
    PixelSpace().require_inputs(torch.zeros_like(x))
