"""Effects of deviations from the published code, measured on small models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from pandas import DataFrame
from recipe.results.files import Results
from recipe.results.measures import profile_of
from recipe.settings.experiment import Changes, Experiment, Settings, preset
from recipe.training.run import Run, perform
from torch import nn

from freqreg import AbsoluteFloor
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import load_model
from freqreg.frequency_bias import Floor, RelativeFloor, exponents, log_low_frequency_bias

METHOD = "fgsm+jafr"
"""Its steps have an adversarial and a clean pass, and a penalty of the gradient."""

PUBLISHED: Mapping[str, Changes] = {
    "absolute_floor": preset(absolute_floor=1e-5),
    "alpha_shift": preset(alpha_shift=1e-5),
    "batch_norm": preset(batch_norm="every pass"),
}
"""The published choices where the preset mini has the library's default."""

SHORT = preset(epochs=2)
"""Changes of the runs to the demo's settings."""

UNITS = {"clean": "clean %", "pgd": "PGD %", "log_b_low": "log B_low"}
"""The compared quantities."""

SHIFT, FLOOR = 1e-5, AbsoluteFloor(1e-5)
PGD_IMAGES, PGD_STEPS, PGD_RESTARTS = 300, 20, 5

Effect = Mapping[str, Sequence[float]]
"""The published choice minus ours, by quantity, one number per seed."""


@dataclass(frozen=True)
class Scene:
    """The experiment, its images, and the folder of its runs."""

    experiment: Experiment
    train: LabelledImages
    test: LabelledImages
    folder: Path

    def run(self, name: str, seed: int) -> Run:
        """A run with one of the published choices, or with none."""
        changes = {**SHORT, **PUBLISHED.get(name, {})}
        settings = self.experiment.settings(METHOD, "mini", changes)
        folder = self.folder / f"{name}-seed{seed}"
        return Run(self.experiment.name, METHOD, settings, seed, folder, "mini")

    def result(self, name: str, seed: int) -> Results:
        """The results of a run; a finished one is only read."""
        return perform(self.run(name, seed), self.train, self.test, Accelerator(), resume=True)


def measured(scene: Scene, seeds: Sequence[int]) -> tuple[Effect, dict[str, Effect]]:
    """Our figures, and the effect of each deviation by its name."""
    ours = figures([scene.result("ours", seed) for seed in seeds])
    trained = {
        name: by_name(figures([scene.result(name, seed) for seed in seeds]) - ours)
        for name in PUBLISHED
    }
    runs = [scene.run("ours", seed) for seed in seeds]
    models = [load_model(run.folder).model for run in runs]
    settings = runs[0].settings
    biases = [bias_effects(model, scene.test, settings) for model in models]
    rules = [selection_effect(model, scene.test, settings) for model in models]
    reported = {name: {"log_b_low": [bias[name] for bias in biases]} for name in biases[0]}
    return by_name(ours), {**trained, **reported, "attack_select": {"pgd": rules}}


def by_name(found: DataFrame) -> Effect:
    """Each column, as a list."""
    return {str(name): column.tolist() for name, column in found.items()}


def figures(results: Sequence[Results]) -> DataFrame:
    """The compared quantities of some runs, a row each; shares in percent."""
    factors = {name: 100 if unit.endswith("%") else 1 for name, unit in UNITS.items()}
    return DataFrame(
        {name: factor * getattr(result.measures, name) for name, factor in factors.items()}
        for result in results
    )


def bias_effects(model: nn.Module, test: LabelledImages, settings: Settings) -> dict[str, float]:
    """Effects of floor and shifted exponents on the reported figures of one model.

    The absolute floor stands beside gradients of the mean loss over the profiled images.
    """
    profile = profile_of(model, test, settings)
    spectrum = profile.spectrum / profile.images
    size = len(spectrum)
    shifted = tuple(exponent + SHIFT for exponent in exponents(size))

    def bias(floor: Floor, alpha: tuple[float, ...]) -> float:
        return log_low_frequency_bias(spectrum, alpha=(alpha, alpha), floor=floor).item()

    ours = bias(RelativeFloor(), exponents(size))
    return {
        "reported_floor": bias(FLOOR, exponents(size)) - ours,
        "reported_alpha_shift": bias(RelativeFloor(), shifted) - ours,
    }


@torch.no_grad()
def selection_effect(model: nn.Module, test: LabelledImages, settings: Settings) -> float:
    """Points of accuracy under the published rule over restarts, minus ours."""
    attacked = test.first(PGD_IMAGES)
    eps = settings.eps_255.value / 255
    accuracies = [
        PGDAttack(eps, steps=PGD_STEPS, restarts=PGD_RESTARTS, select=select)
        .run(model, attacked.pixels, attacked.labels)
        .accuracy
        for select in ("max-loss", "broken")
    ]
    return 100 * (accuracies[0] - accuracies[1])
