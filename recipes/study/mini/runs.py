"""The runs of the mini study, stage by stage; rules.md gives their purpose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from recipe.settings.experiment import Changes, Method, preset

from freqreg.evaluation.results.paper import METHODS

Stage = Literal[1, 2, 3, 4, 5, 6, 7, 8]

Kind = tuple[Method, Mapping[str, Any]]
"""A method, and its changes to its stage's settings; its runs differ in their seeds alone."""

CHOOSING = 100
"""Seeds from here on choose settings; they are measured on held-out train images."""

LAMBDAS = (0.001, 0.003, 0.01, 0.02, 0.05)

LESS: tuple[Mapping[str, Any], ...] = ({"penalty_every": 4}, {"penalty_share": 0.25})
"""Cheaper ways to apply a penalty, each compared with the full penalty."""

LESS_AT_LAMBDA = 0.02
"""The λ of stage 1 at which they are compared: the largest at which all cells are models."""

STAGE_2 = {"lambda_freq": 0.003}
STAGE_3 = {"lambda_freq": 0.01}
"""Chosen on seed 100, as rules.md says."""

BAND = {"lambda_fourier": 0.5}
"""The authors' λ, for either band."""

LOW = ({"lambda_fourier": 0.1}, {"lambda_fourier": 0.2}, BAND, {**BAND, "penalty_target": 0.5})
"""Settings that favour low frequencies."""

FAMILY: tuple[Kind, ...] = (
    *(("zerograd", {}), ("multigrad", {}), ("fgsm+llr", {"lambda_llr": 1.0})),
    *(("fgsm+elle", {"lambda_elle": size}) for size in (5000.0, 50_000.0)),
    *(("fgsm+cure", {"lambda_cure": size}) for size in (0.06, 6.0)),
    ("gradnorm1", {"lambda_norm": 0.0627}),
)
"""The peers' ways through single-step training, with their authors' and chosen weights."""

TARGETS: tuple[Kind, ...] = (
    *(
        ("fourier-low", {"lambda_fourier": size, "penalty_target": target})
        for target in (0.3, 0.5, 0.7)
        for size in (0.5, 5.0)
    ),
    *(
        ("jafr", {"lambda_freq": size, "penalty_target": target})
        for target in (15.0, 17.0, 19.0)
        for size in (0.003, 0.03)
    ),
)
"""Penalties with targets, each at two weights."""

NOISE = {"noise_std": 0.1}
"""Noise augmentation, alone or beside a penalty."""

TUNED_JAFR = {"lambda_freq": 0.003}
TUNED_LOW = (BAND, {"lambda_fourier": 1.0})
TUNED_EQUAL = TUNED_LOW[0]
"""First candidates of the λ of stage 6, and the one at equal clean accuracy; seeds from 100 on
settle them, as rules.md says."""

MEASURED = (
    preset(penalty_every=1, penalty_share=1.0, best_every=0, noise_rms=0.1)
    | preset(attack_steps=50, attack_restarts=1, attack_select="broken")
    | preset(attacked_images=1000, fgsm_images=1000, profiled_images=1000)
)


@dataclass(frozen=True)
class Plan:
    """The runs of a stage.

    Args:
        settings: its changes to CIFAR-10's preset mini.
        seeds: the reported seeds.
        kinds: kinds trained at each seed, in this order.
        once: further kinds, trained at the first seed and at seed 100.
    """

    settings: Changes
    seeds: range
    kinds: tuple[Kind, ...]
    once: tuple[Kind, ...] = ()


RESIDUAL = MEASURED | preset(width=16, batch_size=64, max_learning_rate=0.1, epochs=10)
FREQUENCY = RESIDUAL | preset(train_images=20_000, eps_255=8)

COLLAPSE = (
    MEASURED
    | preset(model="one_conv", train_images=10_000, padding=0, flip=False, batch_size=128)
    | preset(weight_decay=0.0, optimizer="adam", max_learning_rate=0.01, epochs=10)
    | preset(eps_255=16, lambda_align=2.0)
)

FINE_TUNING = (
    MEASURED
    | preset(model="timm/tf_efficientnet_lite0", pretrained=True, enlarged=64, channels_last=True)
    | preset(train_images=10_000, epochs=3, batch_size=64, max_learning_rate=0.02)
    | preset(eps_255=8, attack_steps=10, attacked_images=200)
)


@dataclass(frozen=True)
class Regime:
    """A way of training in which claims on frequencies are judged, and the cells that judge them.

    Either band is judged at its authors' λ; the others of `low` stand beside.

    Args:
        title: its name for readers.
        pictures: the first word in the names of its figures.
        frequency: the stage with standard training, JaFR and JaFR(-).
        bands: that with standard training and penalties for bands.
        augmented: that with augmentations, which are compared with standard training of `bands`.
        jafr: settings of JaFR and of JaFR(-).
        low: settings that favour low frequencies.
        equal: the one of them at equal clean accuracy, which noise augmentation is compared with.
        added: kinds of `augmented` with a penalty, each with the augmentation alone; favouring low
            beside noise comes first.
    """

    title: str
    pictures: str
    frequency: Stage
    bands: Stage
    augmented: Stage
    jafr: tuple[Mapping[str, Any], Mapping[str, Any]]
    low: tuple[Mapping[str, Any], ...]
    equal: Mapping[str, Any]
    added: tuple[tuple[Kind, Kind], ...]


SHORT = Regime(
    title="short study",
    pictures="mini",
    frequency=2,
    bands=4,
    augmented=7,
    jafr=(STAGE_2, STAGE_2),
    low=LOW,
    equal=LOW[0],
    added=(
        (("fourier-low", {**LOW[0], **NOISE}), ("standard", NOISE)),
        (("apr+fourier-low", LOW[0]), ("apr", {})),
    ),
)
FINE = Regime(
    title="fine-tuning",
    pictures="fine",
    frequency=6,
    bands=6,
    augmented=6,
    jafr=(TUNED_JAFR, TUNED_JAFR),
    low=TUNED_LOW,
    equal=TUNED_EQUAL,
    added=(
        (("fourier-low", {**TUNED_EQUAL, **NOISE}), ("standard", NOISE)),
        (("jafr", {**TUNED_JAFR, **NOISE}), ("standard", NOISE)),
    ),
)

STAGES: dict[Stage, Plan] = {
    1: Plan(
        COLLAPSE,
        range(10),
        (
            *(("fgsm", {}), ("nfgsm", {}), ("fgsm+gradalign", {})),
            *(("fgsm+jafr", {"lambda_freq": size}) for size in LAMBDAS),
            *(("fgsm+jafr", {"lambda_freq": LESS_AT_LAMBDA, **less}) for less in LESS),
        ),
    ),
    2: Plan(
        FREQUENCY,
        range(3),
        (
            *(("standard", {}), ("jafr", STAGE_2), ("jafr-", STAGE_2)),
            *(("jafr", {**STAGE_2, **less}) for less in LESS),
        ),
    ),
    3: Plan(
        RESIDUAL | preset(train_images=10_000, eps_255=16, lambda_align=2.0),
        range(3),
        (("fgsm", {}), ("nfgsm", {}), ("fgsm+jafr", STAGE_3)),
        once=(("fgsm+jafr-", STAGE_3), ("fgsm+gradalign", {}), ("pgd2", {})),
    ),
    4: Plan(
        FREQUENCY,
        range(3),
        (("standard", {}), *(("fourier-low", low) for low in LOW), ("fourier-high", BAND)),
    ),
    5: Plan(COLLAPSE, range(10), FAMILY),
    6: Plan(
        FINE_TUNING,
        range(5),
        (
            *(("standard", {}), ("jafr", FINE.jafr[0]), ("jafr-", FINE.jafr[1])),
            *(("fourier-low", low) for low in TUNED_LOW),
            *(("fourier-high", BAND), ("gradnorm2", {"lambda_norm": 0.01}), ("standard", NOISE)),
            *(both for both, _ in FINE.added),
        ),
    ),
    7: Plan(
        FREQUENCY,
        range(3),
        (
            *(("standard", NOISE), ("standard", {"blur_std": 1.0}), ("apr", {})),
            *(("gradnorm1", {"lambda_norm": 0.0314}), ("gradnorm2", {"lambda_norm": 0.01})),
            *(both for both, _ in SHORT.added),
        ),
    ),
    8: Plan(FREQUENCY | preset(channels_last=True, attacked_images=200), range(1), TARGETS),
}

_WORDS = {
    "lambda_freq": "λ {minus}{}",
    **dict.fromkeys(
        ("lambda_fourier", "lambda_elle", "lambda_llr", "lambda_cure", "lambda_norm"), "λ {}"
    ),
    "penalty_target": "target {}",
    "noise_std": "noise up to {}",
    "blur_std": "blur up to {} pixels",
    "penalty_every": "at each {}th step",
    "penalty_share": "on {} of each batch",
}


@dataclass(frozen=True)
class StudyRun:
    """One run of the study: a method, its changes to its stage's settings, and a seed."""

    stage: Stage
    method: Method
    seed: int
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its files, unique in its stage."""
        changed = "".join(f"-{name}={value}" for name, value in self.changes.items())
        return f"{self.method}{changed}-seed{self.seed}"

    @property
    def files(self) -> str:
        """Files of its kind, N a seed, as the page names them."""
        return f"`stage{self.stage}/{self.name.removesuffix(str(self.seed))}N.json`"

    @property
    def label(self) -> str:
        """Name of its kind for readers."""
        minus = "−" if self.method.endswith("-") else ""
        changes = [_WORDS[key].format(value, minus=minus) for key, value in self.changes.items()]
        return ", ".join([METHODS[self.method], *changes])

    def settings(self) -> Changes:
        """Its changes to CIFAR-10's preset mini."""
        return {**STAGES[self.stage].settings, **preset(**self.changes)}


def cells(stage: Stage, seeds: Sequence[int] = ()) -> list[StudyRun]:
    """The runs of a stage, seed by seed, so that a study cut short has whole comparisons.

    Args:
        stage: of the study.
        seeds: other than the reported ones.
    """
    plan = STAGES[stage]
    return [
        StudyRun(stage, method, seed, changes)
        for seed in seeds or plan.seeds
        for method, changes in (*plan.kinds, *(plan.once if seed % CHOOSING == 0 else ()))
    ]
