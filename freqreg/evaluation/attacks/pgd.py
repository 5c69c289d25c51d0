"""Gradient attacks within an L∞ ball, on images in [0, 1]."""

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from freqreg._settings import require_choice, require_count, require_positive
from freqreg.evaluation.attacks.base import Attacked, AttackWarning, LinfAttack
from freqreg.evaluation.attacks.restarts import Select, run_restarts
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.inputs.examples import Batch, Classifier, Examples, Pixels
from freqreg.input_gradients import value_and_input_grad
from freqreg.mixers.base import Start, ascend
from freqreg.pixels import UNIT_PIXELS

AttackLoss = Literal["cross-entropy", "margin"]
_UNUSABLE = (
    "The gradient of {:.1%} of the images is exactly zero or not finite, so the attack on {} "
    "cannot use it, and its accuracy says little about robustness. Logits may be so large that the "
    "loss is flat in single precision, or the model may mask its gradient (a sqrt or log at 0 "
    "gives NaN). Measure {} as well."
)
_BETTER = {
    "cross-entropy": "the margin loss (the score cw, PGDAttack(loss='margin')) and AutoAttack",
    "margin": "AutoAttack, or Square, which needs no gradient,",
}

Logits = Float[Tensor, "batch classes"]
Targets = Int64[Tensor, " batch"]


@dataclass(frozen=True)
class FGSMAttack(LinfAttack):
    """Fast gradient sign method: one step of ε from the clean image.

    References: Goodfellow et al., ICLR 2015, arXiv:1412.6572.

    Args:
        eps: radius of the L∞ ball, in pixels.
    """

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples, without random numbers."""
        one_step = PGDAttack(self.eps, steps=1, step_size=self.eps, restarts=1, start="zero")
        return one_step.attacked(model, examples, seed=seed, batch_size=batch_size)


@dataclass(frozen=True)
class PGDAttack(LinfAttack):
    """Projected gradient descent: signed steps in the ε-ball, from several random starts.

    The defaults are the paper's: 50 steps of ε/4, 10 restarts. With `early_exit` broken images are
    not attacked again, which saves time and leaves the accuracy unchanged. The same seed gives the
    same result at any batch size, up to rounding in the model.

    Args:
        eps: radius of the L∞ ball, in pixels.
        steps: number of steps in a restart.
        step_size: in pixels; None: ε/4.
        restarts: number of starts, each keyed by (seed, index of the image, restart).
        loss: "cross-entropy", or "margin" of Carlini & Wagner: the best wrong logit minus the
            right one, at most `confidence`.
        confidence: κ of the margin; 50 in the published code.
        select: "broken": an image is broken if any restart's last iterate is misclassified.
            "max-loss": if the last iterate of highest cross-entropy is. This published rule may
            be weaker.
        start: "random", uniform in the ball, or "zero".
        early_exit: skip broken images in further restarts.

    References: Madry et al., ICLR 2018, arXiv:1706.06083; margin: Carlini & Wagner, S&P 2017,
        arXiv:1608.04644.
    """

    steps: int = 50
    step_size: float | None = None
    restarts: int = 10
    loss: AttackLoss = "cross-entropy"
    confidence: float = 50.0
    select: Select = "broken"
    start: Start = "random"
    early_exit: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(step_size=self._step_size, confidence=self.confidence)
        UNIT_PIXELS.require_radius(self._step_size, "step_size")
        require_count(steps=self.steps, restarts=self.restarts)
        require_choice(Start, start=self.start)
        require_choice(Select, select=self.select)
        require_choice(AttackLoss, loss=self.loss)

    def attacked(
        self, model: Classifier, examples: Examples, *, seed: int, batch_size: int
    ) -> Attacked:
        """Attack checked examples; give an AttackWarning if gradients are zero or NaN."""
        zero, not_finite = torch.zeros(2, len(examples), dtype=torch.bool)

        def perturb(batch: Batch, random: CounterRNG) -> Pixels:
            def losses(at: Pixels) -> Float[Tensor, " batch"]:
                if self.loss == "margin":
                    return margin(model(at), batch.labels, self.confidence)
                return F.cross_entropy(model(at), batch.labels, reduction="none")

            x = point = batch.x
            if self.start == "random":
                noise = random.uniform(-1, 1, "start", *x.shape[1:]).to(x.dtype)
                point = UNIT_PIXELS.project(x, x + noise * UNIT_PIXELS.scaled(self.eps, x))
            spoiled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
            for step in range(self.steps):
                with torch.enable_grad():  # a sum keeps images independent of their batch
                    gradient = value_and_input_grad(lambda at: losses(at).sum(), point)[1]
                spoiled |= ~gradient.isfinite().flatten(1).all(1)
                if step == 0:
                    at_rest = (gradient == 0).flatten(1).all(1)
                    if at_rest.any():  # except where the margin has reached its bound
                        with torch.no_grad():
                            at_rest &= losses(point) < self.confidence
                    zero[batch.rows] |= at_rest.cpu()
                point = ascend(x, point, gradient, UNIT_PIXELS, step=self._step_size, eps=self.eps)
            not_finite[batch.rows] |= spoiled.cpu()
            return point

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
        zero |= not_finite & attacked.correct  # a broken image may lie where the loss is infinite
        if zero.any():
            told = _UNUSABLE.format(zero.double().mean(), self.loss, _BETTER[self.loss])
            warnings.warn(told, AttackWarning, stacklevel=2)
        return replace(attacked, zero_gradient=zero)

    @property
    def _step_size(self) -> float:
        return self.eps / 4 if self.step_size is None else self.step_size


def margin(logits: Logits, labels: Targets, confidence: float) -> Float[Tensor, " batch"]:
    """Return the best wrong logit minus the right one, at most `confidence`.

    References: Carlini & Wagner, S&P 2017, arXiv:1608.04644, f6.
    """
    place = labels[:, None]
    best_wrong = logits.scatter(1, place, -torch.inf).amax(1)
    return (best_wrong - logits.gather(1, place)[:, 0]).clamp(max=confidence)
