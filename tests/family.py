"""Penalties and mixers written out from their definitions, sharing no code with freqreg."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import APR, CURE, ELLE, FGSM, LLR, InputGradientNorm, Mix, MultiGrad, ZeroGrad
from freqreg.mixers import Mixer
from freqreg.regularizers import Regularizer
from tests.references import clipped

EPS = 8 / 255


class Normed(nn.Sequential):
    """A smooth float64 classifier of 3 classes with batch norm."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 4, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(64, 3),
        )
        self.double()
        norm = self[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.running_mean)  # pyright: ignore[reportArgumentType]


class Family:
    """A model, images, targets, and closures of one loss per image and of their mean."""

    def __init__(self, *, train: bool = True, images: int = 5) -> None:
        self.model = Normed().train(train)
        self.x = torch.rand(images, 3, 8, 8, dtype=torch.float64)
        self.y = torch.randint(3, (images,))
        self.calls = 0

    def each(self, x: Tensor) -> Tensor:
        self.calls += 1
        return F.cross_entropy(self.model(x), self.y, reduction="none")

    def mean(self, x: Tensor) -> Tensor:
        return self.each(x).mean()


@dataclass(frozen=True)
class WrittenOut:
    """A step, in plain autograd and image by image wherever images do not meet in batch norm."""

    problem: Family

    def own_gradients(self, x: Tensor, *, graph: bool = False) -> Tensor:
        """Each image's own; in train mode, where the others move it too, n times the mean's."""
        model, y = self.problem.model, self.problem.y
        if model.training:
            at = x.clone().requires_grad_()
            total = F.cross_entropy(model(at), y, reduction="sum")
            return torch.autograd.grad(total, at, create_graph=graph)[0]
        rows = []
        for image, label in zip(x, y, strict=True):
            at = image[None].clone().requires_grad_()
            loss = F.cross_entropy(model(at), label[None])
            rows.append(torch.autograd.grad(loss, at, create_graph=graph)[0])
        return torch.cat(rows)

    def losses(self, x: Tensor) -> list[Tensor]:
        logits = self.problem.model(x)
        return [
            logits_of.logsumexp(0) - logits_of[label]
            for logits_of, label in zip(logits, self.problem.y, strict=True)
        ]

    def uniform(self, eps: float) -> Tensor:
        return torch.empty_like(self.problem.x).uniform_(-1, 1) * eps

    def points(self, regularizer: Regularizer) -> tuple[Tensor, ...]:
        x = self.problem.x
        match regularizer:
            case ELLE(eps=eps):
                a, b = x + self.uniform(eps), x + self.uniform(eps)
                return a, b, torch.rand(len(x), 1, 1, 1, dtype=x.dtype).flatten()
            case LLR(eps=eps):
                return x + self.uniform(eps), x + self.uniform(eps)
            case _:
                return ()

    def penalty(
        self, regularizer: Regularizer, points: tuple[Tensor, ...], mixed: Tensor | None
    ) -> Tensor:
        match regularizer:
            case ELLE():
                return self.elle(*points)
            case LLR():
                return self.llr(*points)
            case CURE(h=h):
                return self.cure(h, mixed)
            case InputGradientNorm(order=order):
                rows = self.own_gradients(self.problem.x, graph=True)
                return sum(row.abs().pow(order).sum() for row in rows) / len(rows)  # pyright: ignore[reportReturnType]
        raise AssertionError(regularizer)

    def elle(self, a: Tensor, b: Tensor, share: Tensor) -> Tensor:
        middle = torch.stack([(1 - s) * u + s * v for u, v, s in zip(a, b, share, strict=True)])
        found = zip(*(self.losses(at) for at in (a, b, middle)), share, strict=True)
        gaps = [between - ((1 - s) * one + s * two) for one, two, between, s in found]
        return torch.stack([gap**2 for gap in gaps]).mean()

    def llr(self, p: Tensor, q: Tensor) -> Tensor:
        slopes = self.own_gradients(p, graph=True)
        rises = [((w - v) * g).sum() for v, w, g in zip(p, q, slopes, strict=True)]
        gaps = [
            two - one - r for one, two, r in zip(self.losses(p), self.losses(q), rises, strict=True)
        ]
        return torch.stack([gap**2 for gap in gaps]).mean()

    def cure(self, h: float, mixed: Tensor | None) -> Tensor:
        clean = self.own_gradients(self.problem.x)
        moved = self.problem.x + h * clean.sign() if mixed is None else mixed
        apart = clean - self.own_gradients(moved, graph=True)
        return torch.stack([row.norm() ** 2 for row in apart]).mean()

    def mixed(self, mixer: Mixer | None) -> Tensor | None:
        x = self.problem.x
        match mixer:
            case None:
                return None
            case FGSM():
                return clipped(x, x + EPS * self.own_gradients(x).sign(), EPS)
            case ZeroGrad(quantile=quantile):
                start = (x + self.uniform(EPS)).clamp(0, 1)
                return clipped(x, start + 2 * EPS * self.large(start, quantile).sign(), EPS)
            case MultiGrad(samples=samples):
                starts = [(x + self.uniform(EPS)).clamp(0, 1) for _ in range(samples)]
                signs = torch.stack([self.own_gradients(start).sign() for start in starts])
                unanimous = (signs == signs[0]).all(0)
                return clipped(x, x + 2 * EPS * signs[0] * unanimous, EPS)
            case Mix(fraction=fraction):
                chosen = torch.rand(len(x)).argsort() < round(fraction * len(x))
                swapped = recombined(x, x[torch.rand(len(x)).argsort()])
                return torch.stack(
                    [s if c else row for s, row, c in zip(swapped, x, chosen, strict=True)]
                )
        raise AssertionError(mixer)

    def large(self, x: Tensor, quantile: float) -> Tensor:
        """The gradients without the entries below the quantile as numpy interpolates it."""
        rows = []
        for row in self.own_gradients(x):
            least = np.quantile(row.abs().numpy(), quantile)
            rows.append(row * (row.abs() >= float(least)))
        return torch.stack(rows)

    def objective(self, regularizers: list[Regularizer], mixer: Mixer | None) -> Tensor:
        """In the order in which random numbers are drawn: points, then the mixer's."""
        points = [self.points(regularizer) for regularizer in regularizers]
        mixed = self.mixed(mixer)
        total = torch.stack(self.losses(self.problem.x if mixed is None else mixed)).mean()
        for regularizer, at in zip(regularizers, points, strict=True):
            total = total + regularizer.weight * self.penalty(regularizer, at, mixed)
        return total


def recombined(phases: Tensor, amplitudes: Tensor) -> Tensor:
    """By numpy, over all frequencies; one image after the other."""
    rows = []
    for own, other in zip(phases.numpy(), amplitudes.numpy(), strict=True):
        angle, size = np.angle(np.fft.fftn(own)), np.abs(np.fft.fftn(other))
        rows.append(torch.from_numpy(np.fft.ifftn(size * np.exp(1j * angle)).real))
    return torch.stack(rows)


Backward = Callable[[Tensor], None]
REGULARIZERS: dict[str, list[Regularizer]] = {
    "none": [],
    "elle": [ELLE(300.0, EPS)],
    "llr": [LLR(40.0, EPS)],
    "cure": [CURE(0.3)],
    "norm 1": [InputGradientNorm(0.1, order=1)],
    "norm 2": [InputGradientNorm(0.5)],
    "all": [ELLE(90.0, EPS), CURE(0.2, h=0.1), LLR(20.0, EPS), InputGradientNorm(0.05, 1)],
}
MIXERS: dict[str, Mixer | None] = {
    "no mixer": None,
    "fgsm": FGSM(EPS),
    "zerograd": ZeroGrad(EPS),
    "multigrad": MultiGrad(EPS),
    "apr": Mix(APR(), fraction=0.5),
}
