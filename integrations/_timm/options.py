"""The launcher's options, which precede the training script and its options."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import freqreg
from freqreg.errors import SettingError
from freqreg.regularizers.fourier_sensitivity import Favour
from freqreg.regularizers.input_gradient_norm import Order

MIXERS: dict[str, Callable[[float], freqreg.Mixer]] = {
    "fgsm": freqreg.FGSM,
    "rs-fgsm": lambda eps: freqreg.FGSM(eps, start="random"),
    "n-fgsm": freqreg.NFGSM,
    "pgd": freqreg.PGD,
    "zerograd": freqreg.ZeroGrad,
    "multigrad": freqreg.MultiGrad,
    "apr": lambda _: freqreg.Mix(freqreg.APR(), fraction=0.5),
}
OPTION = "--freqreg-"
FLAGS = {"--freqreg-sync"}
SERVED = {
    "jafr-target": ("jafr",),
    "favour": ("fourier",),
    "fourier-target": ("fourier",),
    "sync": ("jafr", "fourier"),
    "order": ("input-gradient-norm",),
    "eps": ("mixer", "grad-align", "elle", "llr"),
    "finite-difference": (
        *("jafr", "fourier", "grad-align", "llr", "cure", "input-gradient-norm"),
    ),
}
"""Options without effect unless one of these is given."""
EXAMPLES = """\
The launcher's options come first; all that follows the script is the script's own. Examples:

  python -m freqreg.integrations.timm --freqreg-jafr 1e-3 train.py DATA --model resnet18
  torchrun --nproc-per-node 4 -m freqreg.integrations.timm --freqreg-jafr 1e-3 train.py DATA
"""


def parsed(argv: Sequence[str]) -> tuple[freqreg.Objective, str, Sequence[str]]:
    """Return the objective, the script, and the script's arguments; exit if they are invalid."""
    parser = _parser()
    options = parser.parse_args(_joined(argv))
    for name, served in SERVED.items():
        if _given(options, name) and not any(_given(options, each) for each in served):
            needed = " or ".join(OPTION + each for each in served)
            parser.error(
                f"{OPTION}{name} has no effect without {needed}: give one, or leave it out"
            )
    try:
        objective = _objective(options)
    except SettingError as error:
        parser.error(str(error))
    if not objective.regularizers and objective.mixer is None:
        parser.error("nothing to add to the training: give --freqreg-jafr, --freqreg-mixer, ...")
    if not Path(options.script).is_file():
        parser.error(f"there is no file {options.script}: give the path of your training script")
    return objective, options.script, options.arguments


def _given(options: argparse.Namespace, name: str) -> bool:
    """Whether it was given; options that can be left out are None or False by default."""
    value = getattr(options, f"freqreg_{name.replace('-', '_')}")
    return value is not None and value is not False


def _joined(argv: Sequence[str]) -> list[str]:
    """Join options and values: argparse would take a value like -1e-3 for an option."""
    rest, joined = [*argv], []
    while rest and rest[0].startswith(OPTION):
        option = rest.pop(0)
        has_value = rest and option not in FLAGS and "=" not in option
        joined.append(f"{option}={rest.pop(0)}" if has_value else option)
    return joined + rest


def _objective(options: argparse.Namespace) -> freqreg.Objective:
    sync, step = options.freqreg_sync, options.freqreg_finite_difference
    eps = 8 / 255 if options.freqreg_eps is None else options.freqreg_eps
    band = {"favour": options.freqreg_favour or "low", "target": options.freqreg_fourier_target}
    made = {
        "jafr": partial(freqreg.JaFR, sync=sync, target=options.freqreg_jafr_target),
        "fourier": partial(freqreg.FourierSensitivity, sync=sync, **band),
        "grad_align": partial(freqreg.GradAlign, eps=eps),
        "elle": partial(freqreg.ELLE, eps=eps),
        "llr": partial(freqreg.LLR, eps=eps),
        "cure": freqreg.CURE,
        "input_gradient_norm": partial(freqreg.InputGradientNorm, order=options.freqreg_order or 2),
    }
    weights = {name: getattr(options, f"freqreg_{name}") for name in made}
    regularizers = [made[name](weight) for name, weight in weights.items() if weight is not None]
    mixer = MIXERS[options.freqreg_mixer](eps) if options.freqreg_mixer else None
    differentiation = freqreg.DoubleBackprop() if step is None else freqreg.FiniteDifference(step)
    return freqreg.Objective(regularizers, mixer, differentiation=differentiation)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m freqreg.integrations.timm",
        usage="%(prog)s [launcher's options] script [script's arguments]",
        description="Run a training script of timm, such as its train.py, with regularizers.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add, weight = parser.add_argument, {"type": float, "metavar": "WEIGHT"}
    add("--freqreg-jafr", **weight, help="weight of JaFR; below 0: favour high frequencies")
    target = {"type": float, "metavar": "TARGET"}
    add("--freqreg-jafr-target", **target, help="log B_low that JaFR leads to")
    add("--freqreg-fourier", **weight, help="weight of FourierSensitivity")
    favoured = "frequencies that FourierSensitivity favours (default: low)"
    add("--freqreg-favour", choices=get_args(Favour), help=favoured)
    reached = "share outside of the band that it leads to, or entropy for all"
    add("--freqreg-fourier-target", **target, help=reached)
    together = "measure JaFR and FourierSensitivity on the images of all processes"
    add("--freqreg-sync", action="store_true", help=together)
    add("--freqreg-grad-align", **weight, help="weight of GradAlign")
    add("--freqreg-elle", **weight, help="weight of ELLE")
    add("--freqreg-llr", **weight, help="weight of LLR")
    add("--freqreg-cure", **weight, help="weight of CURE, at the mixer's images if there is one")
    add("--freqreg-input-gradient-norm", **weight, help="weight of InputGradientNorm")
    order = "of that norm: 1, or 2 for the squared L2 norm (default: 2)"
    add("--freqreg-order", type=int, choices=get_args(Order), help=order)
    mixed = "train on images of this mixer; apr makes half of each batch"
    add("--freqreg-mixer", choices=MIXERS, help=mixed)
    eps = "ε of the mixer, GradAlign, ELLE and LLR, in pixels from 0 to 1 (default: 8/255)"
    add("--freqreg-eps", type=float, metavar="EPS", help=eps)
    step = "step of finite differences, such as 0.01, instead of double backpropagation"
    add("--freqreg-finite-difference", type=float, metavar="STEP", help=step)
    add("script", help="path of the training script")
    add("arguments", nargs=argparse.REMAINDER, help="its arguments")
    return parser
