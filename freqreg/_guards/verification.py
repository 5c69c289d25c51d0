"""Whether penalties' gradients are what they are claimed to be, at a model's first step."""

import warnings
from collections.abc import Callable
from functools import partial

from freqreg._guards.copied_modules import Copies
from freqreg._guards.faulty_modules import faulty_modules
from freqreg._guards.measurement import EXACT, Gradients, Place, difference
from freqreg._guards.model_compatibility import shortened
from freqreg.errors import InexactGradientWarning, InputGradientError, SecondDerivativeError

_WRONG = 0.05
"""Deviation relative to the gradient, in double precision, that is said."""
_UNLIKE = 0.3
"""Relative difference of two passes' J that is said."""
_MEANT = "Where it is meant so, Objective(..., verify=False) leaves this measurement out."


def measured(place: Place, claim: Callable[[], Gradients]) -> float | None:
    """Deviation of a claim from the measurement; None where that is not possible.

    Raises:
        InputGradientError: a pass writes gradients of parameters.
    """
    if not place.can_be_measured:
        return None
    try:
        return place.measured(claim())
    except InputGradientError:
        raise
    except Exception:  # whatever user code raises in double precision
        return None


def require_repeatable(place: Place) -> None:
    """Raise where a pass writes gradients; warn where the same pass gives another J.

    Raises:
        InputGradientError: a pass writes gradients of parameters.
    """
    if not place.can_be_repeated:
        return
    try:
        again = place.repeated(Copies())
    except InputGradientError:
        raise
    except Exception:  # whatever user code raises on copies
        return
    if difference(again, place.gradient) > _UNLIKE:
        _warn(
            "Two passes at the same images give different input gradients: loss_fn keeps a state, "
            "or draws random numbers from other generators than the global ones of torch, numpy "
            "and Python. Draw them outside of loss_fn, and change states where not "
            "freqreg.is_probe()."
        )


def verify_exact(place: Place, claimed: Gradients) -> None:
    """Compare what double backprop claims with the measurement.

    Raises:
        SecondDerivativeError: a backward pass within is cut from the graph, or wrong.
    """
    found = measured(place, lambda: claimed)
    if found is None:
        require_repeatable(place)
    if found is None or found <= EXACT:
        return
    found = measured(place, place.exact)  # without the rounding of the step
    if found is None or found <= _WRONG:
        return
    modules = faulty_modules(place.run, place.point)
    where = shortened(modules) or "an operation outside of all modules"
    if not place.trains_itself_rightly():
        _warn(
            f"In {where} values depend on parameters in a way that gradients leave out: detach, "
            "no_grad, .data, a straight-through estimator, or a wrong backward. The "
            f"penalties' gradient is {found:.0%} off a measurement, and the loss's own is off too. "
            + _MEANT
        )
        return
    length = place.slope.double().square().mean().sqrt().item()
    differences = measured(place, lambda: place.differences(1e-3, length=length))
    agrees = differences is not None and differences <= _WRONG
    way = "which agrees with the measurement" if agrees else "which is off here, too"
    raise SecondDerivativeError(
        f"{where}: the backward pass is cut from the graph (a kernel, .data or no_grad in the "
        "backward of an autograd.Function), so that its second derivative is wrong: the penalties' "
        f"gradient is {found:.0%} off a measurement. Write it in differentiable operations, or use "
        f"Objective(..., differentiation=FiniteDifference()), {way}. {_MEANT}"
    )


def verify_differences(
    place: Place, claimed: Gradients, step: float, *, length: float, one_sided: bool
) -> None:
    """Compare what finite differences claim with the measurement, and warn of their truncation."""
    found = measured(place, lambda: claimed)
    if found is None:
        require_repeatable(place)
    if found is None or found <= _WRONG:
        return
    for power in range(15):
        shorter = step / 2**power
        claim = partial(place.differences, shorter, length=length, one_sided=one_sided)
        there = measured(place, claim)
        if there is not None and there <= _WRONG:
            way = (
                f"the step is too long. FiniteDifference(step={shorter:.2g}) would do."
                if power
                else "by rounding. Take a longer step, or switch TF32 off."
            )
            _warn(
                f"Finite differences of step {step:g} are {found:.0%} off the gradient of the "
                f"penalties: {way}"
            )
            return
    exact = measured(place, place.exact)
    agrees = exact is not None and exact <= _WRONG
    _warn(
        f"Finite differences of the loss are {found:.0%} off the gradient of the penalties, at "
        "any step: something in loss_fn depends on the images without a gradient (a teacher "
        "or targets under no_grad, detach). Compute it once, outside of loss_fn"
        + (", or use DoubleBackprop(), which agrees with the measurement." if agrees else ".")
    )


def _warn(message: str) -> None:
    warnings.warn(message, InexactGradientWarning, stacklevel=2)
