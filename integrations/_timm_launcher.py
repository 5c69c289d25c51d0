"""Runs a training script that knows nothing of freqreg, with its training task regularized."""

import argparse
import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm.data
from timm.task import TrainingTask
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from freqreg.differentiation import DoubleBackprop, FiniteDifference
from freqreg.errors import SettingError
from freqreg.integrations.timm import RegularizedTask, pixel_space, turn_regularized
from freqreg.mixers import FGSM, NFGSM, PGD, Mixer
from freqreg.objective import Objective
from freqreg.regularizers import GradAlign, InputGradientNorm, JaFR

MIXERS: dict[str, Callable[[float], Mixer]] = {
    "fgsm": FGSM,
    "rs-fgsm": lambda eps: FGSM(eps, start="random"),
    "n-fgsm": NFGSM,
    "pgd": PGD,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script of the command line in this process, as Python would."""
    parser = _parser()
    options = parser.parse_args(argv)
    objective = _objective(options)
    if not objective.regularizers and objective.mixer is None:
        parser.error("nothing to add to the training: give --freqreg-jafr, --freqreg-mixer, ...")
    sys.argv = [options.script, *options.arguments]
    sys.path.insert(0, str(Path(options.script).resolve().parent))
    with every_task_regularized(objective):
        runpy.run_path(options.script, run_name="__main__")


@contextmanager
def every_task_regularized(objective: Objective) -> Iterator[None]:
    """Meanwhile each training task of timm has this objective from its first call on.

    Raises:
        SettingError: an optimizer steps although no task was called.
    """
    met: list[TrainingTask] = []
    normalization: list[dict[str, Any]] = []

    def call(task: TrainingTask, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(task, RegularizedTask):
            met.append(turn_regularized(task, _normalized(objective, normalization)))
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


def _normalized(objective: Objective, resolved: Sequence[dict[str, Any]]) -> Objective:
    """In the pixels of the data config that the script resolved last, if it resolved one."""
    return replace(objective, pixels=pixel_space(resolved[-1])) if resolved else objective


def _objective(options: argparse.Namespace) -> Objective:
    made = {
        "freqreg_jafr": JaFR,
        "freqreg_grad_align": lambda weight: GradAlign(weight, options.freqreg_eps),
        "freqreg_input_gradient_norm": InputGradientNorm,
    }
    weights = {name: getattr(options, name) for name in made}
    mixer = MIXERS[options.freqreg_mixer](options.freqreg_eps) if options.freqreg_mixer else None
    step = options.freqreg_finite_difference
    return Objective(
        [made[name](weight) for name, weight in weights.items() if weight is not None],
        mixer,
        differentiation=DoubleBackprop() if step is None else FiniteDifference(step),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freqreg.integrations.timm",
        description="Run a training script of timm, such as its train.py, with regularizers.",
        allow_abbrev=False,
    )
    number = {"type": float, "metavar": "NUMBER"}
    parser.add_argument("--freqreg-jafr", **number, help="weight of JaFR; below 0: JaFR(-)")
    parser.add_argument("--freqreg-grad-align", **number, help="weight of GradAlign")
    parser.add_argument(
        "--freqreg-input-gradient-norm", **number, help="weight of InputGradientNorm"
    )
    parser.add_argument("--freqreg-mixer", choices=MIXERS, help="images to train on")
    parser.add_argument(
        "--freqreg-eps",
        **number,
        default=8 / 255,
        help="ε of mixer and GradAlign in pixels of [0, 1] (8/255)",
    )
    parser.add_argument(
        "--freqreg-finite-difference",
        **number,
        help="step of finite differences, instead of double backpropagation",
    )
    parser.add_argument("script", help="path of the training script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its own arguments")
    return parser
