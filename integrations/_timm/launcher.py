"""A launcher of unchanged training scripts, whose training tasks it regularizes."""

import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm.data
from timm.task import TrainingTask
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from freqreg.errors import SettingError
from freqreg.integrations._timm.options import parsed
from freqreg.integrations.timm import RegularizedTask, pixel_space, turn_regularized
from freqreg.objective import Objective


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script of the command line in this process, as Python would."""
    objective, script, arguments = parsed(sys.argv[1:] if argv is None else argv)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).resolve().parent))
    with every_task_regularized(objective):
        runpy.run_path(script, run_name="__main__")


@contextmanager
def every_task_regularized(objective: Objective) -> Iterator[None]:
    """Give each training task of timm this objective at its first call, in this context.

    Raises:
        SettingError: an optimizer steps although no task was called.
    """
    met: list[TrainingTask] = []
    normalization: list[dict[str, Any]] = []  # the data configs that the script resolves

    def call(task: TrainingTask, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(task, RegularizedTask):
            pixels = pixel_space(normalization[-1]) if normalization else objective.pixels
            met.append(turn_regularized(task, replace(objective, pixels=pixels)))
        return nn.Module.__call__(task, *args, **kwargs)

    def noting(*args: Any, **kwargs: Any) -> dict[str, Any]:
        normalization.append(resolve(*args, **kwargs))
        return normalization[-1]

    def require_task(*_: object) -> None:
        if not met:
            raise SettingError(
                "The script trains without a training task of timm (timm.task), so that nothing "
                "was regularized. Scripts older than timm 1.0.27 have none: wrap the loss by "
                "an Objective yourself."
            )

    data: Any = timm.data
    resolve = data.resolve_data_config
    hook = register_optimizer_step_pre_hook(require_task)
    data.resolve_data_config = noting
    TrainingTask.__call__ = call
    try:
        yield
    finally:
        hook.remove()
        data.resolve_data_config = resolve
        del TrainingTask.__call__
