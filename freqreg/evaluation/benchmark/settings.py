"""Settings of an evaluation, and presets of them."""

from dataclasses import dataclass
from typing import Literal

from freqreg._settings import require_choice, require_count, require_positive
from freqreg.evaluation.corruptions.names import MADE_HERE, SavedAs
from freqreg.pixels import UNIT_PIXELS

Preset = Literal["paper", "mini", "smoke"]


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation; the defaults are the paper's.

    Numbers of images count from the start of the test set; None takes all.

    Args:
        eps: radius of every attack, in pixels of [0, 1].
        seed: seed of every random number.
        batch_size: images in one forward pass.
        fgsm_images: images that FGSM attacks.
        attack_steps: steps of PGD and CW, of ε/4 each.
        attack_restarts: restarts of PGD and CW.
        attacked_images: images that PGD, CW, AutoAttack, Square and transfer attack.
        curve_steps: steps of PGD with one restart, for accuracy and loss against ε.
        curve_images: images for accuracy and loss against ε.
        noise_rms: strength of low- and high-frequency noise, in pixels of [0, 1].
        profiled_images: images for log B_low and fourier_sensitivity.
        corrupted_images: images of each corruption and severity, whatever their source.
        recalibration_images: train images for recalibrated batch norm statistics.
        corruptions_from: source of corrupted images: made here, or a folder or repository.
        saved_as: format in which corrupted images were saved, as in `corrupt`.
        transfer_from: the model whose adversarial images "transfer" uses.
        amp: measure clean, noise and corruptions in bfloat16, where autocast uses it.
    """

    eps: float = 8 / 255
    seed: int = 0
    batch_size: int = 256
    fgsm_images: int | None = 1000
    attack_steps: int = 50
    attack_restarts: int = 10
    attacked_images: int | None = None
    curve_steps: int = 20
    curve_images: int | None = 1000
    noise_rms: float = 0.1
    profiled_images: int | None = 1000
    corrupted_images: int | None = None
    recalibration_images: int | None = 10_000
    corruptions_from: str = MADE_HERE
    saved_as: SavedAs = None
    transfer_from: str | None = None
    amp: bool = False

    def __post_init__(self) -> None:
        require_positive(eps=self.eps, noise_rms=self.noise_rms)
        UNIT_PIXELS.require_radius(self.eps)
        require_choice(SavedAs, saved_as=self.saved_as)
        counts = {name: v for name, v in vars(self).items() if name.endswith(_COUNTS)}
        require_count(**{name: count for name, count in counts.items() if count is not None})


_COUNTS = ("_size", "_images", "_steps", "_restarts")
"""Endings of the names of counts."""

PRESETS: dict[Preset, EvaluationSettings] = {
    "paper": EvaluationSettings(),
    "mini": EvaluationSettings(
        fgsm_images=256,
        attack_steps=20,
        attack_restarts=2,
        attacked_images=256,
        curve_steps=10,
        curve_images=128,
        profiled_images=256,
        corrupted_images=200,
        recalibration_images=2560,
    ),
    "smoke": EvaluationSettings(
        batch_size=32,
        fgsm_images=32,
        attack_steps=3,
        attack_restarts=1,
        attacked_images=32,
        curve_steps=3,
        curve_images=32,
        profiled_images=32,
        corrupted_images=32,
        recalibration_images=64,
    ),
}
"""The paper's settings; minutes on two cores; seconds, to see that everything works."""
