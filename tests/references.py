"""Second, independent implementations that share no code with freqreg."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def dft_matrix(size: int) -> Tensor:
    index = torch.arange(size, dtype=torch.float64)
    return torch.polar(torch.ones(1, 1).double(), torch.outer(index, index) * (-2 * math.pi / size))


def spectrum_by_matrices(images: Tensor) -> Tensor:
    """|DFT| by matrix products in float64, averaged, upper-left quadrant."""
    height, width = images.shape[-2:]
    full = dft_matrix(height) @ images.to(torch.complex128) @ dft_matrix(width).T
    return full.abs().mean((0, 1))[: height // 2 + 1, : width // 2 + 1]


def product_form(spectrum: Tensor, alpha_rows: Tensor, alpha_columns: Tensor) -> Tensor:
    """Log of equation 10 as printed: sums of products of powers, without a floor."""
    total = torch.zeros((), dtype=torch.float64)
    for row in spectrum.double():
        total = total + (row**alpha_columns).prod()
    for column in spectrum.double().T:
        total = total + (column**alpha_rows).prod()
    return total.log()


def linear_alpha(count: int) -> Tensor:
    return torch.linspace(1, -1, count, dtype=torch.float64)


def jafr_penalty(
    grad: Tensor,
    *,
    alpha: tuple[Sequence[float], Sequence[float]] | None = None,
    quadrants: int = 1,
    absolute_floor: float = 0.0,
) -> Tensor:
    rows, columns = grad.shape[-2] // 2 + 1, grad.shape[-1] // 2 + 1
    views = [grad, grad.flip(-1)][:quadrants]
    maps = [torch.fft.fft2(view).abs().mean((0, 1))[:rows, :columns] for view in views]
    along_rows, along_columns = alpha or (linear_alpha(rows), linear_alpha(columns))
    exponents = (torch.as_tensor(a, dtype=torch.float64) for a in (along_rows, along_columns))
    return -product_form(torch.stack(maps).mean(0) + absolute_floor, *exponents)


def published_shares(grad: Tensor) -> Tensor:
    """Of even square images, as Krishnamachari et al. define them, over the whole plane."""
    size = grad.shape[-1]
    power = torch.fft.fftshift(torch.fft.fft2(grad.mean(1), norm="ortho")).abs() ** 2
    axis = torch.arange(-size // 2, size // 2, dtype=torch.float64)
    radii = (axis[:, None] ** 2 + axis**2).sqrt().round()
    sums = [power[:, radii == r].sum(1) for r in range(1, int(radii.max()) + 1)]
    each = torch.stack(sums, 1)
    return (each / each.sum(1, keepdim=True)).mean(0)


def fourier_penalty(grad: Tensor, favour: str) -> Tensor:
    """The published penalties, of slices of the shares."""
    size, shares = grad.shape[-1], published_shares(grad)
    low, high = size // 6, size // 3
    if favour == "all":
        first = shares[: size // 2] / shares[: size // 2].sum()
        return (first * first.log2()).sum()
    return {
        "low": shares[low:].sum(),
        "middle": shares[:low].sum() + shares[high:].sum(),
        "high": shares[:high].sum(),
    }[favour]


def grad_align_penalty(clean: Tensor, beside: Tensor, *, detach_clean: bool = True) -> Tensor:
    clean = clean.detach() if detach_clean else clean
    return 1 - F.cosine_similarity(clean.flatten(1), beside.flatten(1), eps=0).mean()


def gradient_norm_penalty(clean: Tensor) -> Tensor:
    per_example = [len(clean) * row for row in clean]
    return torch.stack([row.pow(2).sum() for row in per_example]).mean()


def gradient(loss_fn: Callable[[Tensor], Tensor], x: Tensor, *, graph: bool = False) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(loss_fn(leaf), leaf, create_graph=graph)[0]


def clipped(x: Tensor, moved: Tensor, eps: float) -> Tensor:
    return torch.max(torch.min(moved, x + eps), x - eps).clamp(0, 1)


def smooth_net(
    channels: int = 4, size: int = 8, activation: type[nn.Module] = nn.GELU
) -> nn.Module:
    """A small float64 classifier of 3 classes without batch norm or dropout."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        activation(),
        nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        activation(),
        nn.Flatten(),
        nn.Linear(channels * (size // 2) ** 2, 3),
    ).double()


def parameter_grads(model: nn.Module) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
