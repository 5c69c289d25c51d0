"""The paper's learning rate, and checks of schedulers."""

from inspect import signature

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from freqreg.errors import SettingError


def cyclic_factor(steps_done: int, *, peak: int, total: int) -> float:
    """Return the share of the maximal learning rate in the step after `steps_done` steps.

    It rises linearly from 0 to 1 at step `peak`, and falls linearly to 0 at the last, `total`.
    """
    step = min(steps_done + 1, total)
    if step <= peak:
        return step / peak
    return (total - step) / (total - peak)


def cyclic_schedule(optimizer: Optimizer, *, epochs: int, steps_per_epoch: int) -> LambdaLR:
    """Raise the learning rate from 0 to the optimizer's in ⌊2·epochs/5⌋ epochs; lower it to 0."""
    peak, total = 2 * epochs // 5 * steps_per_epoch, epochs * steps_per_epoch
    return LambdaLR(optimizer, lambda done: cyclic_factor(done, peak=peak, total=total))


def require_steps_alone(scheduler: LRScheduler) -> None:
    """Raise if `step()` needs an argument, such as a metric."""
    arguments = signature(scheduler.step).parameters.values()
    needed = [a.name for a in arguments if a.default is a.empty and a.kind < a.VAR_POSITIONAL]
    if needed:
        name = type(scheduler).__name__
        raise SettingError(
            f"{name}.step needs {', '.join(needed)}, which the Trainer does not have after an "
            "optimizer step. Give it a scheduler of steps alone, such as ConstantLR(optimizer, "
            f"factor=1.0), and call {name}.step where its argument is known: at the end of the "
            "function that you pass as evaluate (override state and restore to resume it)."
        )
