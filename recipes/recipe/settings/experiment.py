"""What a run consists of: every value typed, and with its source."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar, get_args, get_type_hints

from recipe.settings.validation import require_kind

Method = Literal[
    "standard",
    "jafr",
    "jafr-",
    "fourier-low",
    "fourier-high",
    "fgsm",
    "fgsm+jafr",
    "fgsm+jafr-",
    "fgsm+gradalign",
    "pgd",
    "nfgsm",
    "nfgsm+fourier-low",
    "pgd2",
]
METHODS: tuple[Method, ...] = get_args(Method)
Preset = Literal["paper", "mini", "smoke"]

T = TypeVar("T")


class Source(StrEnum):
    """Where a value comes from."""

    PAPER = "paper"
    CODE = "published code"
    OURS = "not published"
    PRESET = "preset"
    COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Sourced(Generic[T]):
    """A value, its source, and what else is to be known about it."""

    value: T
    source: Source
    note: str = ""


def paper(value: T, note: str = "") -> Sourced[T]:
    """A value that the paper states; it wins over its published code."""
    return Sourced(value, Source.PAPER, note)


def published_code(value: T, note: str = "") -> Sourced[T]:
    """A value of the code published with the paper, which is silent."""
    return Sourced(value, Source.CODE, note)


def our_choice(value: T, note: str) -> Sourced[T]:
    """A value that neither states; the note says why it is so."""
    return Sourced(value, Source.OURS, note)


def preset(**values: Any) -> "dict[str, Sourced[Any]]":
    """Values that a smaller or other experiment sets."""
    return {name: Sourced(value, Source.PRESET) for name, value in values.items()}


@dataclass(frozen=True)
class Settings:
    """A run. Lengths that end in `_255` are in steps of 1/255 of the pixel range.

    A method reads what concerns it: `lambda_freq` is the size of JaFR's λ, whose sign is the
    method's; JaFR's penalty ends at the log B_low `penalty_target`, FourierSensitivity's at that
    share outside of its band; `absolute_floor` None means the floor relative to the mean magnitude;
    `alpha_shift` is added to each exponent of B_low; `pgd2_steps` are steps of ε over their
    number; `momentum` is SGD's; in `warmup_epochs` FGSM's step and PGD's radius grow from 0.
    Penalties act at each `penalty_every`-th optimizer step, with so many times their weight, on
    the first `penalty_share` of the batch. Each `best_every` optimizer steps, and at the last, PGD
    of `best_attack_steps` steps of ε/4 on `best_images` train images tells whether the model is the
    best so far; 0: none is kept.
    """

    train_images: Sourced[int]
    batch_size: Sourced[int]
    padding: Sourced[int]
    flip: Sourced[bool]

    model: Sourced[str]
    width: Sourced[int]

    optimizer: Sourced[Literal["sgd", "adam"]]
    epochs: Sourced[int]
    warmup_epochs: Sourced[int]
    max_learning_rate: Sourced[float]
    momentum: Sourced[float]
    weight_decay: Sourced[float]

    eps_255: Sourced[float]
    fgsm_alpha: Sourced[float]
    pgd_steps: Sourced[int]
    pgd_step_255: Sourced[float]
    pgd2_steps: Sourced[int]
    nfgsm_alpha: Sourced[float]
    nfgsm_noise: Sourced[float]
    lambda_align: Sourced[float]
    lambda_freq: Sourced[float]
    lambda_fourier: Sourced[float]
    penalty_target: Sourced[float | None]
    absolute_floor: Sourced[float | None]
    alpha_shift: Sourced[float]
    batch_norm: Sourced[Literal["main pass", "every pass"]]
    penalty_every: Sourced[int]
    penalty_share: Sourced[float]

    best_every: Sourced[int]
    best_images: Sourced[int]
    best_attack_steps: Sourced[int]

    attack_steps: Sourced[int]
    attack_restarts: Sourced[int]
    attack_select: Sourced[Literal["broken", "max-loss"]]
    attacked_images: Sourced[int]
    fgsm_images: Sourced[int]
    profiled_images: Sourced[int]
    noise_rms: Sourced[float]

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            require_kind(name, getattr(self, name).value, *get_args(kind))

    def values(self) -> dict[str, Any]:
        """The bare values by name."""
        return {name: sourced.value for name, sourced in self._items()}

    def sources(self) -> dict[str, str]:
        """Where each comes from, by name."""
        return {name: sourced.source.value for name, sourced in self._items()}

    def _items(self) -> Iterator[tuple[str, Sourced[Any]]]:
        return ((field.name, getattr(self, field.name)) for field in fields(self))


Changes = Mapping[str, Sourced[Any]]
"""Some fields of `Settings`, by name."""


@dataclass(frozen=True)
class Experiment:
    """The settings for one data set: those of the paper, what methods change, and presets.

    Args:
        name: of the recipe and of its folder of runs.
        title: of the data set, for people.
        base: what holds unless a method or a preset says otherwise.
        by_method: what the paper or its code sets for single methods.
        presets: what a preset changes, for all methods; "paper" changes nothing.
    """

    name: str
    title: str
    base: Settings
    by_method: Mapping[Method, Changes]
    presets: Mapping[Preset, Changes]

    def settings(self, method: Method, chosen: Preset, changes: Changes | None = None) -> Settings:
        """The settings of a run: the method's, then the preset's, then `changes` on top."""
        of_method = self.by_method.get(method, {})
        return replace(self.base, **{**of_method, **self.presets[chosen], **(changes or {})})
