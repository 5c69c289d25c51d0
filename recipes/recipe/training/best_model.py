"""The best model of a run by PGD on a few train images, kept beside the last one."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from freqreg._files import atomic_write, write_text
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.inputs.labelled_images import LabelledImages, first_rows
from freqreg.evaluation.inputs.models import CONFIG, WEIGHTS
from recipe.results.files import as_json
from recipe.settings.experiment import Settings

BEST = "best"
"""Folder of the best model within that of its run."""

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Selection:
    """Compares the models of a run: accuracy under PGD, each time on the same images."""

    # a copy of the network, whose weights are overwritten: the one in training, its modes and
    # statistics are left alone
    model: nn.Module
    images: LabelledImages  # as they are, not augmented
    held_out: bool  # whether they are kept out of training
    attack: PGDAttack  # drawn from the same seed each time
    every: int  # optimizer steps between comparisons; the last step has one as well

    def is_due(self, step: int, *, last: int) -> bool:
        """Whether to compare the model after `step` of `last` optimizer steps."""
        return step % self.every == 0 or step == last

    def correct(self, weights: Weights) -> int:
        """Number of images that the network with these weights still gets right."""
        self.model.load_state_dict(weights)
        found = self.attack.run(self.model, self.images.pixels, self.images.labels)
        return int(found.correct.sum())


def selection(
    model: nn.Module, train: LabelledImages, settings: Settings, device: torch.device
) -> Selection | None:
    """The selection of the best model; None if the settings switch it off.

    The first train images that are not trained on decide, if there are enough. Else the first
    trained ones do, as in the published code. The network is copied to the device.
    """
    if not settings.best_every.value:
        return None
    count, trained = settings.best_images.value, settings.train_images.value
    left = torch.ones(len(train), dtype=torch.bool)
    left[first_rows(train.labels, trained)] = False
    held_out = int(left.sum()) >= count
    rows = torch.arange(len(train))[left] if held_out else first_rows(train.labels, trained)
    images = train.select(rows[first_rows(train.labels[rows], count)])
    eps, steps = settings.eps_255.value / 255, settings.best_attack_steps.value
    attack = PGDAttack(eps, steps=steps, restarts=1)
    spare = deepcopy(model).to(device).eval()
    return Selection(spare, images, held_out, attack, settings.best_every.value)


@dataclass(frozen=True, eq=False)
class Best:
    """The weights after `step` steps, and the number of selection images that they get right."""

    step: int
    correct: int
    weights: Weights

    def write(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Write model and config.json as in a run's folder; each is complete or absent.

        The method is named best, so that no table counts it as another seed of the last.
        """
        with atomic_write(folder / WEIGHTS) as beside:
            save_file(dict(self.weights), beside, metadata={"format": "pt"})
        named = {**config, "method": f"{config['method']} (best)", "step": self.step}
        write_text(folder / CONFIG, as_json(named))
