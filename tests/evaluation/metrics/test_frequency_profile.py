from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from freqreg import FGSM, PGD, AbsoluteFloor, log_low_frequency_bias, radial_shares
from freqreg.errors import InputError
from freqreg.evaluation.metrics.frequency_profile import (
    gradient_profile,
    image_profile,
    input_gradients,
    mixed_points,
    random_points,
)
from freqreg.networks import PreActResNet18
from tests.processes import in_processes

RNG = np.random.default_rng


def numpy_spectrum(images: np.ndarray) -> np.ndarray:
    """Mean |DFT| of the upper-left quadrant, image by image, channel by channel."""
    height, width = images.shape[-2:]
    total = np.zeros((height // 2 + 1, width // 2 + 1))
    for channel in images.reshape(-1, height, width).astype(np.float64):
        total += np.abs(np.fft.fft2(channel))[: height // 2 + 1, : width // 2 + 1]
    return total / (len(images) * images.shape[1])


def numpy_log_b_low(spectrum: np.ndarray) -> float:
    """Equation 10 as printed, by products of powers."""
    rows, columns = (np.linspace(1, -1, size) for size in spectrum.shape)
    return float(np.log((spectrum**columns).prod(1).sum() + (spectrum.T**rows).prod(1).sum()))


def pink(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Images in [0, 1] whose low frequencies dominate, as in photographs."""
    white = RNG(seed).normal(size=(count, 3, height, width))
    falling = 1 / (
        1
        + np.hypot(
            *np.meshgrid(
                np.fft.fftfreq(height) * height, np.fft.fftfreq(width) * width, indexing="ij"
            )
        )
    )
    images = np.fft.ifft2(np.fft.fft2(white) * falling).real  # fmt: skip
    return ((images - images.min()) / np.ptp(images)).astype(np.float32)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 12), (8, 32)])
def test_profile_of_images_against_numpy(height: int, width: int):
    images = pink(11, height, width)
    profile = image_profile(torch.from_numpy(images).split(4))
    assert profile.images == 11
    assert np.allclose(profile.spectrum, numpy_spectrum(images), rtol=1e-5)
    assert np.allclose(profile.flipped, numpy_spectrum(images[..., ::-1]), rtol=1e-5)
    both = (numpy_spectrum(images) + numpy_spectrum(images[..., ::-1])) / 2
    expected = [numpy_spectrum(images), numpy_spectrum(images[..., ::-1]), both]
    assert np.allclose(profile.shares, radial_shares(torch.from_numpy(images)), rtol=1e-5)
    size = min(height, width)
    assert profile.share_by_band() == pytest.approx(
        {
            "low": profile.shares[: size // 6].sum().item(),
            "middle": profile.shares[size // 6 : size // 3].sum().item(),
            "high": profile.shares[size // 3 :].sum().item(),
        }
    )
    got = [profile.log_b_low(), profile.log_b_low_flipped(), profile.log_b_low_both()]
    assert got == pytest.approx([numpy_log_b_low(spectrum) for spectrum in expected], abs=1e-4)


@given(cuts=st.sets(st.integers(1, 19)))
def test_profile_does_not_depend_on_the_batches(cuts: set[int]):
    images = torch.from_numpy(pink(20, 8, 8))
    edges = [0, *sorted(cuts), 20]
    cut = image_profile(images[start:stop] for start, stop in pairwise(edges))
    whole = image_profile([images])
    assert torch.allclose(cut.spectrum, whole.spectrum, rtol=1e-6)
    assert torch.allclose(cut.shares, whole.shares, rtol=1e-6)


def test_images_without_power_weigh_in_spectra_and_not_in_shares():
    images, zero = torch.from_numpy(pink(3, 8, 8)), torch.zeros(5, 3, 8, 8)
    alone, beside = image_profile([images]), image_profile([images, zero, zero])
    assert torch.allclose(beside.shares, alone.shares)
    assert torch.allclose(beside.spectrum * 13, alone.spectrum * 3)
    assert image_profile([zero]).shares.sum().item() == pytest.approx(1)


def test_bytes_are_pixels_in_the_unit_range():
    bytes_ = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    as_floats = image_profile([bytes_.float() / 255])
    assert torch.equal(image_profile([bytes_]).spectrum, as_floats.spectrum)


def test_one_grating_shows_in_one_quadrant_only():
    rows, columns = torch.arange(16)[:, None], torch.arange(16)
    falling = torch.cos(2 * torch.pi * (5 * rows - 3 * columns) / 16).expand(2, 3, 16, 16)
    profile = image_profile([falling])
    assert profile.spectrum[5, 3] < 1e-4
    assert profile.flipped[5, 3] == pytest.approx(128, rel=1e-5)


class Linear(nn.Module):
    """Its input gradient is known in closed form."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(RNG(1).normal(size=(4, 3, size, size))).float())

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", x, self.weight)


def numpy_linear_gradients(weight: np.ndarray, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = np.einsum("bchw,kchw->bk", x.astype(np.float64), weight.astype(np.float64))
    odds = np.exp(logits - logits.max(1, keepdims=True))
    residual = odds / odds.sum(1, keepdims=True) - np.eye(4)[labels]
    return np.einsum("bk,kchw->bchw", residual, weight)


def test_profile_of_input_gradients_against_numpy():
    model, images, labels = Linear(16).eval(), pink(9, 16, 16), np.arange(9) % 4
    batches = zip(torch.from_numpy(images).split(4), torch.from_numpy(labels).split(4), strict=True)
    profile = gradient_profile(model, batches)
    expected = numpy_linear_gradients(model.weight.detach().numpy(), images, labels)
    assert np.allclose(profile.spectrum, numpy_spectrum(expected), rtol=1e-4)
    assert profile.log_b_low() == pytest.approx(numpy_log_b_low(numpy_spectrum(expected)), abs=1e-3)


def network_and_images(count: int = 12) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    return PreActResNet18(4, width=2).eval(), torch.rand(count, 3, 16, 16), torch.arange(count) % 4


def test_published_protocol_is_the_same_but_for_the_batch_size():
    """The paper's: one gradient of the batch-mean loss, floor 1e-5 in its unit."""
    model, x, labels = network_and_images()
    x.requires_grad_()
    (mean_grad,) = torch.autograd.grad(F.cross_entropy(model(x), labels), x)
    published = torch.from_numpy(numpy_spectrum(mean_grad.numpy()))
    profile = gradient_profile(model, zip(x.detach().split(5), labels.split(5), strict=True))
    assert torch.allclose(profile.spectrum / 12, published, rtol=1e-3)
    floor = AbsoluteFloor(1e-5)
    ours = log_low_frequency_bias(profile.spectrum / 12, floor=floor).item()
    assert ours == pytest.approx(numpy_log_b_low(published.numpy() + 1e-5), abs=1e-3)


def test_gradients_are_of_each_example_alone_and_leave_the_model_alone():
    model, x, labels = network_and_images()
    (together,) = input_gradients(model, [(x, labels)])
    alone = torch.cat(list(input_gradients(model, zip(x.split(1), labels.split(1), strict=True))))
    assert torch.allclose(together, alone, atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        (again,) = input_gradients(model, [(x, labels)])
    assert torch.equal(again, together)


def test_gradients_at_adversarial_points_are_taken_there():
    model, x, labels = network_and_images()
    (moved,) = input_gradients(model, [(x, labels)], point=mixed_points(model, FGSM(eps=0.1)))
    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(F.cross_entropy(model(leaf), labels), leaf)
    (expected,) = input_gradients(model, [((x + 0.1 * grad.sign()).clamp(0, 1), labels)])
    assert torch.allclose(moved, expected, atol=1e-6)


def test_random_points_fill_the_ball():
    x = torch.full((50, 3, 16, 16), 0.5)
    moved = random_points(0.1)(x, torch.zeros(50, dtype=torch.int64)) - x
    assert moved.abs().max() <= 0.1 + 1e-6
    assert moved.std() == pytest.approx(0.1 / 3**0.5, rel=0.02)


def test_every_kind_of_point_can_be_profiled():
    model, x, labels = network_and_images()
    points = [None, random_points(0.1), mixed_points(model, PGD(eps=0.1, steps=2))]
    values = [gradient_profile(model, [(x, labels)], point=p).log_b_low() for p in points]
    assert len(set(values)) == 3
    assert all(np.isfinite(values))


def test_training_mode_is_refused():
    model, x, labels = network_and_images()
    with pytest.raises(InputError, match="training mode"):
        gradient_profile(model.train(), [(x, labels)])


def test_a_model_that_answers_nan_has_no_profile():
    def model(x):
        return torch.log(x.flatten(1)[:, :2] - 2)

    with pytest.raises(InputError, match="spectrum has NaN"):
        gradient_profile(model, [(torch.rand(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))])


def test_no_batches_is_an_error():
    with pytest.raises(InputError, match="no batch"):
        image_profile([])


def profiled_by_one_of_two(images: Tensor):
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    own = images[:7] if accelerator.is_main_process else images[7:]
    profile = image_profile(own.split(3), accelerator=accelerator)
    assert profile.images == len(images)
    expected = image_profile([images])
    torch.testing.assert_close(profile.spectrum, expected.spectrum)
    torch.testing.assert_close(profile.flipped, expected.flipped)
    torch.testing.assert_close(profile.shares, expected.shares)


def test_two_processes_with_unequal_shares():
    in_processes(2, profiled_by_one_of_two, torch.rand(10, 3, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize("mixer", [None, PGD(8 / 255, steps=2, start="zero")])
def test_profiles_leave_inference_mode_as_they_leave_no_grad(mixer):
    torch.manual_seed(0)
    model = PreActResNet18(num_classes=10, width=4).eval()
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    point = None if mixer is None else mixed_points(model, mixer)
    expected = gradient_profile(model, [(images, labels)], point=point).log_b_low()
    with torch.inference_mode():
        made_there = images.clone(), labels.clone()
        for batch in ((images, labels), made_there):
            assert gradient_profile(model, [batch], point=point).log_b_low() == expected
    assert gradient_profile(model, [made_there], point=point).log_b_low() == expected


def test_probabilities_have_no_profile():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10), nn.Softmax(1)).eval()
    images, labels = torch.rand(4, 3, 8, 8), torch.arange(4)
    with pytest.raises(InputError, match="returned probabilities"):
        gradient_profile(model, [(images, labels)])
