"""The paper's learning rate, and what follows the optimizer's steps."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def cyclic_factor(steps_done: int, *, peak: int, total: int) -> float:
    """Share of the maximal learning rate in the step that follows `steps_done`.

    Rises linearly from 0 to 1 at step `peak` and falls linearly to 0 at the last, `total`.
    """
    step = min(steps_done + 1, total)
    if step <= peak:
        return step / peak
    return (total - step) / (total - peak)


def cyclic_schedule(optimizer: Optimizer, *, epochs: int, steps_per_epoch: int) -> LambdaLR:
    """From 0 to the optimizer's learning rate at ⌊2·epochs/5⌋ epochs, and back to 0."""
    peak, total = 2 * epochs // 5 * steps_per_epoch, epochs * steps_per_epoch
    return LambdaLR(optimizer, lambda done: cyclic_factor(done, peak=peak, total=total))
