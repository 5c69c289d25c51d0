"""The steps whose cost is compared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from freqreg import (
    CURE,
    ELLE,
    FGSM,
    LLR,
    NFGSM,
    PGD,
    Every,
    FiniteDifference,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    MultiGrad,
    Objective,
    ZeroGrad,
)
from freqreg.input_gradients import LossFn
from tests.benchmarks import published
from tests.benchmarks.cost_model import Alternating, Beside, Expected, Passes
from tests.benchmarks.networks import Variant

Losses = Callable[[LossFn, Tensor, int], Iterator[Tensor]]
"""From the closure, the images and the step's number: a step's losses, each for one `backward`."""

ONE_SIDED = FiniteDifference(scheme="one-sided")
CENTRAL = FiniteDifference()


@dataclass(frozen=True)
class Candidate:
    """One kind of step."""

    losses: Losses
    expected: Expected
    """Of time, for steps of this library; for the published code's passes, of operations only."""
    variant: Variant = "exact"
    published: str | None = None
    """The published code's passes for the same method."""
    steps: int = 1
    """Steps that are averaged over."""
    of_images: bool = False
    """Whether the closure returns one loss per image."""
    rarely: bool = False
    """It takes long, so it does not take part in each round."""

    @property
    def plain(self) -> str:
        """What it is compared with: the plain step on the same network."""
        return PLAIN[self.variant]


def summed(objective: Objective) -> Losses:
    """One scalar."""

    def losses(loss_fn: LossFn, x: Tensor, step: int) -> Iterator[Tensor]:
        yield objective(loss_fn, x, step=step)

    return losses


def streamed(objective: Objective) -> Losses:
    """One graph alive at a time."""
    return lambda loss_fn, x, step: objective.losses(loss_fn, x, step=step)


def on_slice(objective: Objective, share: float) -> Losses:
    """The main loss, then the penalties on the first images."""

    def losses(loss_fn: LossFn, x: Tensor, step: int) -> Iterator[Tensor]:
        yield loss_fn(x)
        yield objective.penalties(loss_fn, x[: round(share * len(x))])

    return losses


def of_published(loss: Callable[[LossFn, Tensor], Tensor]) -> Losses:
    """One scalar, from the published code's passes."""

    def losses(loss_fn: LossFn, x: Tensor, step: int) -> Iterator[Tensor]:
        yield loss(loss_fn, x)

    return losses


PLAIN: dict[Variant, str] = {"exact": "plain", "smooth": "plain, smooth", "compiled": "plain"}
PUBLISHED = {name: f"{name}, published passes" for name in ("JaFR", "FGSM + JaFR")}

_JAFR = Passes(1, to_input=1, through_gradient=1)
UNEXPECTED = {*PUBLISHED.values(), "plain, compiled"}
"""Whose time does not follow from a count of passes."""

_TWO_FORWARD = Passes(2, to_input=1, to_parameters=1)
_THREE_BACKWARD = Passes(3, to_input=2, to_parameters=1, through_gradient=1)
_smooth = partial(Candidate, variant="smooth")

CANDIDATES: dict[str, Candidate] = {
    "plain": Candidate(summed(Objective()), Passes(1, to_parameters=1)),
    "plain, compiled": Candidate(
        summed(Objective()), Passes(1, to_parameters=1), variant="compiled"
    ),
    "JaFR": Candidate(summed(Objective([JaFR()])), _JAFR, published=PUBLISHED["JaFR"]),
    "FourierSensitivity": Candidate(summed(Objective([FourierSensitivity()])), _JAFR),
    "JaFR + FourierSensitivity": Candidate(
        summed(Objective([JaFR(), FourierSensitivity()])), _JAFR
    ),
    "Every(JaFR, 4)": Candidate(
        summed(Objective([Every(JaFR(), 4)])), Alternating(_JAFR, plain=3), steps=4, rarely=True
    ),
    "JaFR on a quarter": Candidate(
        on_slice(Objective([JaFR()]), 0.25), Beside(_JAFR, share=0.25), rarely=True
    ),
    "FGSM": Candidate(summed(Objective((), FGSM())), _TWO_FORWARD),
    "N-FGSM": Candidate(summed(Objective((), NFGSM())), _TWO_FORWARD),
    "FGSM + JaFR": Candidate(
        summed(Objective([JaFR()], FGSM())),
        Passes(2, to_input=1, to_parameters=1, through_gradient=1),
        published=PUBLISHED["FGSM + JaFR"],
    ),
    "FGSM + GradAlign": Candidate(
        summed(Objective([GradAlign()], FGSM())),
        Passes(3, to_input=2, to_parameters=1, through_gradient=1),
    ),
    "L1 norm": Candidate(summed(Objective([InputGradientNorm(1e-2, order=1)])), _JAFR),
    "FGSM + CURE": Candidate(
        summed(Objective([CURE(0.06)], FGSM())), Passes(2, to_input=2, through_gradient=1)
    ),
    "ELLE": Candidate(
        summed(Objective([ELLE(1000.0)])), Passes(4, to_parameters=4), of_images=True
    ),
    "LLR": Candidate(
        summed(Objective([LLR(200.0)])),
        Passes(3, to_input=1, to_parameters=2, through_gradient=1),
        of_images=True,
    ),
    "ZeroGrad": Candidate(summed(Objective((), ZeroGrad())), _TWO_FORWARD),
    "MultiGrad": Candidate(
        summed(Objective((), MultiGrad())), Passes(4, to_input=3, to_parameters=1), rarely=True
    ),
    "PGD-10": Candidate(
        summed(Objective((), PGD(start="zero"))),
        Passes(11, to_input=10, to_parameters=1),
        rarely=True,
    ),
    PUBLISHED["JaFR"]: Candidate(of_published(published.jafr_loss), _THREE_BACKWARD),
    PUBLISHED["FGSM + JaFR"]: Candidate(of_published(published.fgsm_jafr_loss), _THREE_BACKWARD),
    "plain, smooth": _smooth(summed(Objective()), Passes(1, to_parameters=1)),
    "JaFR, smooth": _smooth(summed(Objective([JaFR()])), _JAFR, rarely=True),
    "JaFR, one-sided": _smooth(
        summed(Objective([JaFR()], differentiation=ONE_SIDED)),
        Passes(2, to_input=1, to_parameters=2),
    ),
    "JaFR, central, streamed": _smooth(
        streamed(Objective([JaFR()], differentiation=CENTRAL)), Passes(3, to_parameters=3)
    ),
    "JaFR, central, summed": _smooth(
        summed(Objective([JaFR()], differentiation=CENTRAL)),
        Passes(3, to_input=1, to_parameters=3),
    ),
    "FGSM + JaFR, central, streamed": _smooth(
        streamed(Objective([JaFR()], FGSM(), differentiation=CENTRAL)),
        Passes(4, to_input=1, to_parameters=3),
        rarely=True,
    ),
    "FGSM + GradAlign, central, streamed": _smooth(
        streamed(Objective([GradAlign()], FGSM(), differentiation=CENTRAL)),
        Passes(5, to_input=2, to_parameters=3),
        rarely=True,
    ),
}


def runs_in(network: str, precision: str, name: str) -> bool:
    """Whether a candidate takes its steps so.

    Finite differences refuse half precision; fused attention has no second derivative.
    """
    if network == "vit" and name == "JaFR, smooth":
        return False
    return precision != "bf16" or not {"one-sided", "central"} & set(name.split(", "))
