"""Gradient attacks within an L∞ ball, on images in [0, 1]."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from freqreg._settings import require_count, require_positive
from freqreg.errors import SettingError
from freqreg.evaluation.attacks.base import Attack, Attacked, AttackWarning
from freqreg.evaluation.attacks.restarts import Select, require_select, run_restarts
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.inputs.examples import Batch, Classifier, Examples, Pixels
from freqreg.input_gradients import value_and_input_grad
from freqreg.mixers.base import ascend, require_start
from freqreg.pixels import UNIT_PIXELS

AttackLoss = Literal["cross-entropy", "margin"]
_AT_REST = (
    "The gradient of {:.1%} of the images is exactly zero, so the attack on {} does not move them: "
    "its accuracy says little of robustness. Logits may be so large that the loss is flat in "
    "single precision, or the model hides its gradient. Measure {} as well."
)
_BETTER = {
    "cross-entropy": "the margin loss (the score cw, PGDAttack(loss='margin')) and AutoAttack",
    "margin": "AutoAttack, or Square, which needs no gradient,",
}

Logits = Float[Tensor, "batch classes"]
Targets = Int64[Tensor, " batch"]


def require_radius(eps: float) -> None:
    """Raise unless a ball of this radius in [0, 1] can be meant."""
    require_positive(eps=eps)
    UNIT_PIXELS.require_radius(eps)


@dataclass(frozen=True)
class FGSMAttack(Attack):
    """Fast gradient sign method: one step of ε from the clean image.

    References: Goodfellow et al., ICLR 2015, arXiv:1412.6572.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    eps: float = 8 / 255

    def __post_init__(self) -> None:
        require_radius(self.eps)

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples. Nothing is drawn."""
        one_step = PGDAttack(self.eps, steps=1, step_size=self.eps, restarts=1, start="zero")
        return one_step.attacked(model, examples, seed=seed, batch_size=batch_size)


@dataclass(frozen=True)
class PGDAttack(Attack):
    """Projected gradient descent: signed steps in the ε-ball, from several random starts.

    The defaults are the paper's: 50 steps of ε/4, 10 restarts. Images that a restart has broken
    are not attacked again, unless `early_exit` is False; the accuracy is the same, the time is
    not. The same seed gives the same answer whatever the batch size, up to the rounding of
    the model's own arithmetic.

    Args:
        eps: radius of the L∞ ball, in pixels.
        steps: number of steps in a restart.
        step_size: in pixels; None: ε/4.
        restarts: number of starts, each keyed by (seed, index of the image, restart).
        loss: "cross-entropy", or "margin": that of Carlini & Wagner, the best wrong logit less
            the right one, cut off where it exceeds `confidence`.
        confidence: κ of the margin; 50 in the published code.
        select: "broken": an image counts as broken if it is misclassified after any restart's
            last step. "max-loss": if, among the restarts' last iterates, that of highest
            cross-entropy is (the published rule, which may come out weaker).
        start: "random", uniform in the ball, or "zero".
        early_exit: whether broken images leave.

    References: Madry et al., ICLR 2018, arXiv:1706.06083; margin: Carlini & Wagner, S&P 2017,
        arXiv:1608.04644.
    """

    eps: float = 8 / 255
    steps: int = 50
    step_size: float | None = None
    restarts: int = 10
    loss: AttackLoss = "cross-entropy"
    confidence: float = 50.0
    select: Select = "broken"
    start: Literal["random", "zero"] = "random"
    early_exit: bool = True

    def __post_init__(self) -> None:
        require_radius(self.eps)
        require_positive(step_size=self._step_size, confidence=self.confidence)
        UNIT_PIXELS.require_radius(self._step_size, "step_size")
        require_count(steps=self.steps, restarts=self.restarts)
        require_start(self.start)
        require_select(self.select)
        if self.loss not in get_args(AttackLoss):
            raise SettingError(f"loss is {self.loss!r}; choose 'cross-entropy' or 'margin'.")

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples.

        Warns:
            AttackWarning: some gradients are exactly zero.
        """
        zero = torch.zeros(len(examples), dtype=torch.bool)

        def perturb(batch: Batch, random: CounterRNG) -> Pixels:
            images, at_rest = self._perturbed(model, batch, random)
            zero[batch.rows] |= at_rest.cpu()
            return images

        attacked = run_restarts(
            model,
            examples,
            perturb,
            restarts=self.restarts,
            select=self.select,
            early_exit=self.early_exit,
            seed=seed,
            batch_size=batch_size,
            label=f"PGD-{self.steps} on {self.loss}",
        )
        if zero.any():
            told = _AT_REST.format(zero.double().mean(), self.loss, _BETTER[self.loss])
            warnings.warn(told, AttackWarning, stacklevel=2)
        return replace(attacked, zero_gradient=zero)

    @property
    def _step_size(self) -> float:
        return self.eps / 4 if self.step_size is None else self.step_size

    def _perturbed(
        self, model: Classifier, batch: Batch, random: CounterRNG
    ) -> tuple[Pixels, Bool[Tensor, " batch"]]:
        """The last iterate, and for which images the first gradient was exactly zero."""
        x = batch.x
        point = x if self.start == "zero" else _start(x, random, self.eps)
        losses = self._losses(model, batch.labels)
        at_rest = torch.zeros(len(x), dtype=torch.bool)
        for step in range(self.steps):
            with torch.enable_grad():  # summed: an image's gradient does not depend on its batch
                gradient = value_and_input_grad(lambda at: losses(at).sum(), point)[1]
            if step == 0:
                at_rest = _at_rest(gradient, lambda at=point: losses(at) < self.confidence)
            point = ascend(x, point, gradient, UNIT_PIXELS, step=self._step_size, eps=self.eps)
        return point, at_rest

    def _losses(self, model: Classifier, labels: Targets) -> Callable[[Tensor], Tensor]:
        if self.loss == "margin":
            return lambda x: margin(model(x), labels, self.confidence)
        return lambda x: F.cross_entropy(model(x), labels, reduction="none")


@torch.no_grad()
def _at_rest(
    gradient: Pixels, is_below: Callable[[], Bool[Tensor, " batch"]]
) -> Bool[Tensor, " batch"]:
    """Which gradients are zero, but for those of a margin that has reached its bound."""
    zero = (gradient == 0).flatten(1).all(1)
    return zero & is_below() if zero.any() else zero


def margin(logits: Logits, labels: Targets, confidence: float) -> Float[Tensor, " batch"]:
    """By how much the best wrong logit exceeds the right one, at most `confidence`.

    References: Carlini & Wagner, S&P 2017, arXiv:1608.04644, f6.
    """
    place = labels[:, None]
    best_wrong = logits.scatter(1, place, -torch.inf).amax(1)
    return (best_wrong - logits.gather(1, place)[:, 0]).clamp(max=confidence)


def _start(x: Pixels, random: CounterRNG, eps: float) -> Pixels:
    """A uniform point of the ε-ball, within the pixel range."""
    noise = random.uniform(-1, 1, "start", *x.shape[1:]).to(x.dtype)
    return UNIT_PIXELS.project(x, x + noise * UNIT_PIXELS.scaled(eps, x))
