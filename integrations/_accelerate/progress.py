"""Progress of a run, and its display."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from accelerate import Accelerator
from tqdm.auto import tqdm

SHOWN = {"main_loss": "loss", "log_b_low": "log B_low"}


@dataclass
class Progress:
    """Progress of training: `step` optimizer steps, and `batch` batches of the epoch `epoch`.

    `seconds` is the time in steps, without evaluation and saving. `history` has, by epoch, the
    last means of the records and the results of `evaluate`.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, int | float]] = field(default_factory=list)


class Stopwatch:
    """Wall-clock time in laps."""

    def __init__(self) -> None:
        self.lap()

    def lap(self) -> float:
        """Return the seconds since the last lap; start the next."""
        previous, self._mark = getattr(self, "_mark", 0.0), time.perf_counter()
        return self._mark - previous


def progress_bar(accelerator: Accelerator, *, total: int, done: int) -> tqdm:
    """Return a bar of optimizer steps, shown on the main process of a terminal."""
    hidden = None if accelerator.is_main_process else True
    return tqdm(total=total, initial=done, unit="step", disable=hidden)


def show(bar: tqdm, means: Mapping[str, float]) -> None:
    """Write the loss and log B_low beside the bar."""
    bar.set_postfix({label: means[name] for name, label in SHOWN.items() if name in means})


def require_finite(accelerator: Accelerator, means: Mapping[str, float], *, step: int) -> None:
    """Raise if a recorded mean is not finite, unless a gradient scaler can recover.

    A scaler skips such steps and halves its scale until the scale is used up.
    """
    wrong = {name: value for name, value in means.items() if not math.isfinite(value)}
    scaler = accelerator.scaler
    if not wrong or (scaler is not None and scaler.get_scale() >= 1):
        return
    found = ", ".join(f"{name} = {value}" for name, value in wrong.items())
    raise FloatingPointError(
        f"{found} in the steps up to {step}: training has diverged. Lower the learning rate or "
        "the regularizer's weight, clip gradients (max_grad_norm=1.0), or leave half precision; "
        "resuming goes back to the newest checkpoint."
    )
