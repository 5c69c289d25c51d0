"""What the recipes do otherwise than the published code, and why."""

from collections.abc import Mapping
from dataclasses import dataclass

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Deviation:
    """Something done otherwise in every preset.

    Args:
        what: is done otherwise.
        published: how the published code does it.
        ours: how the recipes do it.
        reason: why.
        effect: what is known of it; None: `measured` has it.
        only: name of the one experiment that it concerns; None: all.
    """

    what: str
    published: str
    ours: str
    reason: str
    effect: str | None = NOT_MEASURED
    measured: str = ""
    only: str | None = None


DEVIATIONS = (
    Deviation(
        "forward passes of a step",
        "JaFR 3; FGSM AT + JaFR 3; PGD AT 10 for the attack, 1 clean, 1 main",
        "JaFR 1; FGSM AT + JaFR 2; PGD AT 10 and 1 main",
        "the clean gradient serves all that need it",
        "running statistics are updated by fewer clean passes: not measured",
    ),
    Deviation(
        "random numbers",
        "PyTorch 1.4 on CUDA, in order of use",
        "the installed torch; order and augmentation are a function of seed, epoch and batch",
        "a run goes on exactly after a kill",
    ),
    Deviation(
        "best model",
        "compared every 200 steps",
        "and at the last step; on held-out images where a preset trains on a part",
        "short runs have one, too; images that were fitted should not choose where others are left",
        "none on the reported model, the last",
    ),
    Deviation(
        "floor of the reported log B_low",
        "1e-5 added to magnitudes of the mean loss's gradients",
        "1e-8 of their mean",
        "the size of gradients should not matter",
        None,
        "reported_floor",
    ),
    Deviation(
        "exponents of the reported log B_low",
        "1e-5 added to each",
        "equation 8, sum 0",
        "the size of gradients should not matter",
        None,
        "reported_alpha_shift",
    ),
    Deviation(
        "corruptions",
        "accuracy on CIFAR-10-C and the like",
        "noise in a low and a high band; corruptions by `freqreg evaluate`",
        "they are measured apart, from the saved models",
        "other quantities, not comparable",
    ),
    Deviation(
        "λ of FGSM AT + JaFR",
        "0.002",
        "0.001",
        "the paper's text says 0.001",
        only="cifar100",
    ),
)

REASONS: Mapping[str, str] = {
    "train_images": "two cores",
    "batch_size": "two cores",
    "width": "two cores",
    "epochs": "two cores",
    "warmup_epochs": "about a third of the epochs, as published",
    "max_learning_rate": "one for all methods, so that they can be compared",
    "best_every": "two cores",
    "attack_steps": "two cores",
    "attack_restarts": "two cores",
    "attacked_images": "two cores",
    "absolute_floor": "the size of gradients, and so batch and loss scale, should not matter",
    "alpha_shift": "equation 8 has none",
    "batch_norm": "probes should leave no trace in the model",
    "attack_select": "an image counts as broken if any restart breaks it",
}
"""Why the preset mini sets what it sets."""
