"""The cells of the mini study; rules.md says what they are for and by which rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recipe.settings.experiment import Changes, Method, preset

Stage = Literal[1, 2, 3]

CHOOSING = 100
"""Seeds from here on choose settings; they are measured on train images held out."""

SEEDS = {1: range(10), 2: range(3), 3: range(3)}
"""Reported seeds of each stage."""

LAMBDAS = (0.001, 0.003, 0.01, 0.02, 0.05)

LESS: tuple[Mapping[str, Any], ...] = ({"penalty_every": 4}, {"penalty_share": 0.25})
"""Cheaper ways of applying a penalty, each compared with applying it to everything."""

LESS_AT_LAMBDA = 0.02
"""Of stage 1's λ, that at which these are compared: the largest at which all cells are models."""

MEASURED = preset(
    penalty_every=1,
    penalty_share=1.0,
    best_every=0,
    attack_steps=50,
    attack_restarts=1,
    attack_select="broken",
    attacked_images=1000,
    fgsm_images=1000,
    profiled_images=1000,
    noise_rms=0.1,
)

STAGES: Mapping[Stage, Changes] = {
    1: MEASURED
    | preset(
        model="one_conv",
        train_images=10_000,
        padding=0,
        flip=False,
        batch_size=128,
        weight_decay=0.0,
        optimizer="adam",
        max_learning_rate=0.01,
        epochs=10,
        eps_255=16,
        lambda_align=2.0,
    ),
    2: MEASURED
    | preset(
        width=16,
        train_images=20_000,
        batch_size=64,
        max_learning_rate=0.1,
        epochs=10,
        eps_255=8,
    ),
    3: MEASURED
    | preset(
        width=16,
        train_images=10_000,
        batch_size=64,
        max_learning_rate=0.1,
        epochs=10,
        eps_255=16,
        lambda_align=2.0,
    ),
}
"""What a stage changes in CIFAR-10's preset mini."""


@dataclass(frozen=True)
class StudyRun:
    """One run of the study: a method, what it changes in its stage's settings, and a seed."""

    stage: Stage
    method: Method
    seed: int
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its files: unique in its stage."""
        changed = "".join(f"-{name}={value}" for name, value in self.changes.items())
        return f"{self.method}{changed}-seed{self.seed}"

    def settings(self) -> Changes:
        """What it changes in CIFAR-10's preset mini."""
        return {**STAGES[self.stage], **preset(**self.changes)}


def cells(stage: Stage, seeds: tuple[int, ...] | None = None) -> list[StudyRun]:
    """The cells of a stage, seed by seed, so that a study cut short has whole comparisons.

    Args:
        stage: of the study.
        seeds: other than the reported ones.
    """
    return [
        cell
        for seed in (SEEDS[stage] if seeds is None else seeds)
        for cell in _of_seed(stage, seed)
    ]


def _of_seed(stage: Stage, seed: int) -> list[StudyRun]:
    if stage == 1:
        return [
            StudyRun(1, "fgsm", seed),
            StudyRun(1, "nfgsm", seed),
            StudyRun(1, "fgsm+gradalign", seed),
            *(StudyRun(1, "fgsm+jafr", seed, {"lambda_freq": size}) for size in LAMBDAS),
            *(
                StudyRun(1, "fgsm+jafr", seed, {"lambda_freq": LESS_AT_LAMBDA, **less})
                for less in LESS
            ),
        ]
    if stage == 2:
        return [
            StudyRun(2, "standard", seed),
            StudyRun(2, "jafr", seed, {"lambda_freq": STAGE_2_LAMBDA}),
            StudyRun(2, "jafr-", seed, {"lambda_freq": STAGE_2_LAMBDA}),
            *(StudyRun(2, "jafr", seed, {"lambda_freq": STAGE_2_LAMBDA, **less}) for less in LESS),
        ]
    once: list[StudyRun] = [
        StudyRun(3, "fgsm+jafr-", seed, {"lambda_freq": STAGE_3_LAMBDA}),
        StudyRun(3, "fgsm+gradalign", seed),
        StudyRun(3, "pgd2", seed),
    ]
    return [
        StudyRun(3, "fgsm", seed),
        StudyRun(3, "nfgsm", seed),
        StudyRun(3, "fgsm+jafr", seed, {"lambda_freq": STAGE_3_LAMBDA}),
        *(once if seed % CHOOSING == 0 else []),
    ]


STAGE_2_LAMBDA = 0.003
"""Chosen on seed 100, as rules.md says."""

STAGE_3_LAMBDA = 0.01
"""Chosen on seed 100, as rules.md says."""
