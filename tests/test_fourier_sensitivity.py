"""The penalty outside of a band against the published definition, its properties and targets."""

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from freqreg import FourierSensitivity, JaFR, Objective, radial_shares
from freqreg.errors import InputError, SettingError
from freqreg.regularizers import Regularizer
from freqreg.regularizers.fourier_sensitivity import Favour
from tests.references import fourier_penalty, gradient, parameter_grads, smooth_net

MODES: tuple[Favour, ...] = get_args(Favour)


def gradients(size: int = 24, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, size, size, generator=generator, dtype=torch.float64)


def measured(regularizer: Regularizer, grads: Tensor) -> dict[str, float]:
    return {name: value.item() for name, value in regularizer.evaluated([grads])[1].items()}


@pytest.mark.parametrize("size", [32, 48, 64])
@pytest.mark.parametrize("favour", MODES)
def test_it_is_the_published_penalty(favour: Favour, size: int) -> None:
    """Values, and gradients of the parameters of a model."""
    x, y = torch.rand(2, 3, size, size, dtype=torch.float64), torch.tensor([0, 2])
    found, expected = (smooth_net(size=size) for _ in range(2))
    expected.load_state_dict(found.state_dict())
    objective = Objective([FourierSensitivity(0.5, favour)])
    value = objective.penalties(lambda z: F.cross_entropy(found(z), y), x)
    reference = 0.5 * fourier_penalty(
        gradient(lambda z: F.cross_entropy(expected(z), y), x, graph=True), favour
    )
    value.backward()
    reference.backward()
    torch.testing.assert_close(value, reference, rtol=1e-9, atol=0)
    mine, theirs = parameter_grads(found), parameter_grads(expected)
    assert (mine - theirs).abs().max() < 1e-9 * theirs.abs().max()


@pytest.mark.parametrize("favour", ["low", "middle", "high"])
def test_the_named_bands_are_parts_of_the_whole(favour: Favour) -> None:
    grads = gradients()
    shares = [1 - FourierSensitivity(favour=band).penalty([grads]) for band in MODES[:3]]
    torch.testing.assert_close(sum(shares), torch.tensor(1.0).double())
    assert 0 < FourierSensitivity(favour=favour).penalty([grads]) < 1


def test_any_band_may_be_given() -> None:
    grads = gradients(32)
    low = FourierSensitivity(band=(0, 1 / 3)).penalty([grads])
    torch.testing.assert_close(low, FourierSensitivity().penalty([grads]))
    high = FourierSensitivity(band=(2 / 3, math.inf)).penalty([grads])
    torch.testing.assert_close(high, FourierSensitivity(favour="high").penalty([grads]))
    narrow = FourierSensitivity(band=(0.25, 0.5)).penalty([grads])
    torch.testing.assert_close(narrow, 1 - radial_shares(grads)[4:8].sum())


@pytest.mark.parametrize("size", range(6, 66))
def test_the_edges_are_the_published_ones(size: int) -> None:
    shares = radial_shares(gradients(size))
    low, high = (FourierSensitivity(favour=f).penalty([gradients(size)]) for f in ("low", "high"))
    torch.testing.assert_close(low, shares[size // 6 :].sum())
    torch.testing.assert_close(high, shares[: size // 3].sum())


@given(radius=st.integers(3, 7), share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_moving_power_inwards_lowers_the_penalty(radius: int, share: float, seed: int) -> None:
    """Part of the power of a radius moves to another in the favoured band."""
    noise = gradients(16, seed)[:1, :1] * 0.1
    columns = 2 * math.pi * torch.arange(16, dtype=torch.float64) / 16

    def waves(inside: float) -> Tensor:
        within, beyond = ((columns * r).cos().expand(16, 16) for r in (2, radius))
        return noise + math.sqrt(inside) * within + math.sqrt(1 - inside) * beyond

    penalty = FourierSensitivity().penalty
    assert penalty([waves(share + 0.05)]) < penalty([waves(share)])


@given(st.floats(-12, 12), st.sampled_from(MODES))
def test_the_scale_of_the_loss_does_not_matter(exponent: float, favour: Favour) -> None:
    penalty, grads = FourierSensitivity(favour=favour).penalty, gradients()
    torch.testing.assert_close(penalty([grads * 10**exponent]), penalty([grads]))


@pytest.mark.parametrize("favour", MODES)
def test_the_size_of_the_batch_does_not_matter(favour: Favour) -> None:
    penalty, grads = FourierSensitivity(favour=favour).penalty, gradients()
    torch.testing.assert_close(penalty([torch.cat([grads, grads]) / 2]), penalty([grads]))


@pytest.mark.parametrize("favour", MODES)
def test_an_empty_radius_has_a_finite_slope(favour: Favour) -> None:
    stripes = (-1.0) ** torch.arange(12, dtype=torch.float64)
    wave = stripes.expand(2, 1, 12, 12).clone().requires_grad_()
    assert (radial_shares(wave) == 0).any()
    (slope,) = torch.autograd.grad(FourierSensitivity(favour=favour).penalty([wave]), wave)
    assert slope.isfinite().all()


def test_entropy_is_largest_where_all_radii_have_as_much() -> None:
    columns = 2 * math.pi * torch.arange(16, dtype=torch.float64) / 16
    waves = torch.stack([(columns * r).cos() for r in range(1, 8)])
    last = (columns * 8).cos() / math.sqrt(2)  # the Nyquist frequency has no mirror image
    even = (waves.sum(0) + last).expand(1, 1, 16, 16)
    spread = FourierSensitivity(favour="all")
    assert spread.penalty([even]).item() == pytest.approx(-3)
    assert measured(spread, even)["radial_entropy"] == pytest.approx(3)


@pytest.mark.parametrize("weight", [0.5, -0.5])
@pytest.mark.parametrize(
    ("make", "name", "width"),
    [
        (lambda w, t: JaFR(w, target=t), "log_b_low", 0.0),
        (lambda w, t: FourierSensitivity(w, target=t), "share_outside", 0.01),
        (lambda w, t: FourierSensitivity(w, "all", target=t), "radial_entropy", 0.05),
    ],
)
def test_the_penalty_is_the_smooth_distance_from_a_target(
    make, name: str, width: float, weight: float
) -> None:
    """From both sides, whatever the sign of λ; the measure is recorded in either case."""
    leaf = gradients().requires_grad_()
    measure = make(weight, None).evaluated([leaf])[1][name]
    (rising,) = torch.autograd.grad(measure, leaf)
    value = measure.item()
    for off in (0.5 * width, width, 0.03):
        distance = off - width / 2 if off >= width else off**2 / (2 * width)
        for side in (1, -1) if off else ():
            penalty, measures = make(weight, value + side * off).evaluated([leaf])
            assert weight * penalty.item() == pytest.approx(abs(weight) * distance)
            assert measures[name].item() == pytest.approx(value)
            (slope,) = torch.autograd.grad(penalty, leaf)
            pull = side * min(1, off / width if width else 1)
            torch.testing.assert_close(weight * slope, -pull * abs(weight) * rising)


def test_a_step_records_penalty_and_measure() -> None:
    parts: dict[str, Tensor] = {}
    model = smooth_net()
    x, y = torch.rand(4, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    objective = Objective([JaFR(0.1, target=-50.0), FourierSensitivity(0.5, target=0.25)])
    loss = objective(lambda z: F.cross_entropy(model(z), y), x, record=parts.__setitem__)
    assert parts.keys() == {
        *("main_loss", "jafr", "log_b_low", "fourier_sensitivity", "share_outside")
    }
    torch.testing.assert_close(parts["jafr"], parts["log_b_low"] + 50)
    torch.testing.assert_close(parts["fourier_sensitivity"], parts["share_outside"] - 0.255)
    penalties = 0.1 * parts["jafr"] + 0.5 * parts["fourier_sensitivity"]
    torch.testing.assert_close(loss, parts["main_loss"] + penalties)
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"favour": "lows"}, "choose"),
        ({"band": (0.5, 0.5)}, "from < to"),
        ({"band": (-0.1, 0.5)}, "from < to"),
        ({"band": (0.1,)}, "from < to"),
        ({"band": (0, 0.5), "favour": "high"}, "not both"),
        ({"target": 30}, r"lies in \[0, 1\]"),
        ({"target": -1, "favour": "all"}, "not below 0"),
        ({"target": math.nan}, "finite"),
        ({"lambda_fourier": "0.5"}, "finite"),
    ],
)
def test_settings_that_mean_nothing_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        FourierSensitivity(**arguments)


def test_a_target_of_jafr_is_a_number() -> None:
    with pytest.raises(SettingError, match="target"):
        JaFR(target=math.inf)


@pytest.mark.parametrize(
    ("regularizer", "size"),
    [
        (FourierSensitivity(), 4),
        (FourierSensitivity(favour="all"), 3),
        (FourierSensitivity(band=(0, math.inf)), 8),
    ],
)
def test_images_that_are_too_small_are_refused(regularizer: Regularizer, size: int) -> None:
    with pytest.raises(InputError, match="shorter side"):
        regularizer.penalty([torch.rand(1, 1, size, size)])
