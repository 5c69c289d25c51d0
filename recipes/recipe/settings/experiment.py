"""The settings of a run: every value typed, with its source."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from shlex import split
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from freqreg._settings import require_finite
from freqreg.errors import SettingError

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
    "fgsm+elle",
    "fgsm+llr",
    "fgsm+cure",
    "zerograd",
    "multigrad",
    "gradnorm1",
    "gradnorm2",
    "apr",
    "apr+fourier-low",
]
METHODS: tuple[Method, ...] = get_args(Method)
Preset = Literal["paper", "mini", "smoke"]

T = TypeVar("T")
MAY_BE_ZERO = {"padding", "warmup_epochs", "best_every"}


class Source(StrEnum):
    """Source of a value: `Source.PAPER(8)` is a value that the paper states."""

    PAPER = "paper"
    CODE = "published code"
    OURS = "not published"
    PRESET = "preset"
    COMMAND_LINE = "command line"

    def __call__(self, value: T, note: str = "") -> "Sourced[T]":
        """A value of this source."""
        return Sourced(value, self, note)


@dataclass(frozen=True)
class Sourced(Generic[T]):
    """A value, its source, and a note."""

    value: T
    source: Source
    note: str = ""

    def __str__(self) -> str:
        return f"{self.value} ({self.source}{': ' if self.note else ''}{self.note})"


From = Annotated[
    Sourced[T], tyro.conf.arg(help_behavior_hint=lambda text: f"= {' '.join(split(text))}")
]
"""A value that --help shows with its source."""

our_choice = Source.OURS
"""A value that neither states; the note gives the reason."""


def preset(**values: Any) -> "dict[str, Sourced[Any]]":
    """Values of a smaller or other experiment."""
    return {name: Source.PRESET(value) for name, value in values.items()}


@dataclass(frozen=True)
class Settings:
    """Settings of a run. A method reads those that concern it; --help shows each with its comment.

    Raises:
        SettingError: a value is out of its range.
    """

    train_images: From[int]  # Train on the first so many images
    batch_size: From[int]  # Images of a step, on each process
    padding: From[int]  # Zeros around an image, of which a random crop is taken
    flip: From[bool]  # Mirror half of the images
    noise_std: From[float]  # Largest standard deviation of Gaussian noise in train images; 0: none
    blur_std: From[float]  # Largest standard deviation of their Gaussian blur, in pixels; 0: none

    model: From[str]  # preact_resnet18, or timm/NAME for any network of timm
    width: From[int]  # Channels of preact_resnet18's first stage
    pretrained: From[bool]  # Start a network of timm from its weights, not from fresh ones
    enlarged: From[int | None]  # Side to which a network of timm enlarges images within itself
    # Store the network channels last: faster for depthwise convolutions on CPUs, and on
    # GPUs in half precision
    channels_last: From[bool]

    optimizer: From[Literal["sgd", "adam"]]  # Both at the learning rate of the schedule
    epochs: From[int]  # Passes over the train images
    warmup_epochs: From[int]  # In which FGSM's step and PGD's radius grow from 0
    max_learning_rate: From[float]  # Peak of the cyclic schedule
    momentum: From[float]  # Of SGD
    weight_decay: From[float]  # On all parameters

    eps_255: From[float]  # Radius of attacks, in training and evaluation, in steps of 1/255
    fgsm_alpha: From[float]  # FGSM's step in units of the radius
    pgd_steps: From[int]  # Of PGD in training
    pgd_step_255: From[float]  # Size of these, in steps of 1/255
    pgd2_steps: From[int]  # Of method pgd2; their size is the radius over their number
    limits_stay: From[bool]  # Gradients of training's FGSM and PGD are 0 at pixels of 0 or 1
    nfgsm_alpha: From[float]  # N-FGSM's step in units of the radius
    nfgsm_noise: From[float]  # N-FGSM's noise in units of the radius
    zerograd_quantile: From[float]  # Share of each gradient that ZeroGrad leaves out
    lambda_align: From[float]  # Weight of GradAlign
    lambda_elle: From[float]  # Weight of ELLE
    lambda_llr: From[float]  # Weight of LLR
    lambda_cure: From[float]  # Weight of CURE
    lambda_norm: From[float]  # Weight of InputGradientNorm
    apr_share: From[float]  # Share of the batch that APR recombines
    lambda_freq: From[float]  # Size of JaFR's λ; its sign is the method's
    lambda_fourier: From[float]  # Weight of FourierSensitivity
    penalty_target: From[float | None]  # Penalties lead to this log B_low or share
    absolute_floor: From[float | None]  # Of magnitudes; None: relative to their mean
    alpha_shift: From[float]  # Added to each exponent of B_low
    batch_norm: From[Literal["main pass", "every pass"]]  # Updates running statistics
    penalty_every: From[int]  # Steps from one with penalties to the next; they count so many times
    penalty_share: From[float]  # Penalties see this share of the batch, its first images

    best_every: From[int]  # Optimizer steps between comparisons with the best model; 0: none
    best_images: From[int]  # Train images that it is chosen by
    best_attack_steps: From[int]  # Of PGD on these, each of a quarter of the radius

    attack_steps: From[int]  # Of PGD in evaluation, each of a quarter of the radius
    attack_restarts: From[int]  # Random starts of it
    attack_select: From[Literal["broken", "max-loss"]]  # By any restart, or that of highest loss
    attacked_images: From[int]  # Under PGD: the first so many test images
    fgsm_images: From[int]  # Under FGSM: the first so many
    profiled_images: From[int]  # For log B_low: the first so many
    noise_rms: From[float]  # Root mean square of the noise in evaluation, of pixels in [0, 1]

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(Settings).items():
            value, (kind,) = getattr(self, name).value, get_args(hint)
            least, choices = 0 if name in MAY_BE_ZERO else 1, get_args(kind)
            if get_origin(kind) is Literal and value not in choices:
                raise SettingError(f"{name} is {value!r}; it must be {' or '.join(choices)}.")
            if kind is int and value < least:
                raise SettingError(f"{name} is {value}; it must be {least} or more.")
            if isinstance(value, float):
                require_finite(**{name: value})

    def values(self) -> dict[str, Any]:
        """The bare values by name."""
        return {name: sourced.value for name, sourced in vars(self).items()}

    def sources(self) -> dict[str, str]:
        """The source of each, by name."""
        return {name: sourced.source.value for name, sourced in vars(self).items()}


Changes = Mapping[str, Sourced[Any]]
"""Some fields of `Settings`, by name."""


@dataclass(frozen=True)
class Experiment:
    """The settings for one data set: the paper's, the methods' changes, and presets."""

    name: str  # of the recipe and of its folder of runs
    title: str  # of the data set, for people
    base: Settings  # what holds unless a method or a preset says otherwise
    by_method: Mapping[Method, Changes]  # what the paper or its code sets for single methods
    # what a preset changes, for all methods; "paper" changes nothing
    presets: Mapping[Preset, Changes]

    def settings(self, method: Method, chosen: Preset, changes: Changes | None = None) -> Settings:
        """The settings of a run: the method's, then the preset's, then `changes`."""
        of_method = self.by_method.get(method, {})
        return replace(self.base, **{**of_method, **self.presets[chosen], **(changes or {})})
