"""CIFAR-10 as in the paper's section 4.

accelerate launch recipes/cifar10.py --method fgsm+jafr --preset paper
accelerate launch recipes/cifar10.py --method jafr --data-dir ~/data/cifar10
"""

from pathlib import Path

from recipe.command_line import main
from recipe.hub import CIFAR10, load_images
from recipe.images import Images
from recipe.settings import (
    Changes,
    Experiment,
    Method,
    Settings,
    our_choice,
    paper,
    preset,
    published_code,
)

SETTINGS = Settings(
    train_images=paper(50_000),
    batch_size=published_code(128, "the incomplete last batch is dropped"),
    padding=published_code(4, "random crops; images in [0, 1] are not normalised"),
    flip=published_code(True),
    model=paper("preact_resnet18"),
    width=published_code(64),
    optimizer=published_code("sgd", "with momentum"),
    epochs=paper(30),
    max_learning_rate=paper(0.2, "cyclic; the peak is at floor(2/5 of the epochs) by the code"),
    momentum=published_code(0.9),
    weight_decay=published_code(5e-4, "on all parameters"),
    eps_255=paper(8),
    fgsm_alpha=published_code(1.25, "without effect from a zero start"),
    pgd_steps=published_code(10, "from a zero start"),
    pgd_step_255=published_code(2),
    pgd2_steps=our_choice(2, "of ε/2: a baseline of our own, from a zero start as PGD"),
    nfgsm_alpha=our_choice(1.0, "de Jorge et al. 2022; not a method of the paper"),
    nfgsm_noise=our_choice(2.0, "de Jorge et al. 2022; not a method of the paper"),
    lambda_align=published_code(0.2, "the clean gradient detached"),
    lambda_freq=paper(0.001),
    absolute_floor=published_code(1e-5, "added to the mean magnitude; None: relative, 1e-8"),
    alpha_shift=published_code(1e-5, "equation 8 has 0"),
    batch_norm=published_code("every pass", "the library's default is the main pass"),
    attack_steps=paper(50, "of ε/4"),
    attack_restarts=paper(10),
    attack_select=published_code("max-loss", "the library's default, broken, is stricter"),
    attacked_images=published_code(10_000),
    fgsm_images=published_code(1000),
    profiled_images=published_code(1000),
    noise_rms=our_choice(0.1, "the paper has CIFAR-10-C instead"),
)

ADVERSARIAL_RATE = paper(0.3)

BY_METHOD: dict[Method, Changes] = {
    "jafr-": {
        "max_learning_rate": our_choice(0.2, "as JaFR"),
        "lambda_freq": our_choice(0.001, "as JaFR; of the negative λ only the sign is stated"),
    },
    "fgsm+jafr": {"max_learning_rate": ADVERSARIAL_RATE},
    "fgsm+jafr-": {
        "max_learning_rate": our_choice(0.3, "as FGSM + JaFR"),
        "lambda_freq": our_choice(0.001, "as FGSM + JaFR; only the sign is stated"),
    },
    "fgsm+gradalign": {"max_learning_rate": ADVERSARIAL_RATE},
    "pgd": {"max_learning_rate": ADVERSARIAL_RATE},
    "nfgsm": {"max_learning_rate": our_choice(0.3, "as FGSM + JaFR and PGD")},
    "pgd2": {"max_learning_rate": our_choice(0.3, "as PGD")},
}

LIBRARY_DEFAULTS = preset(
    absolute_floor=None, alpha_shift=0.0, batch_norm="main pass", attack_select="broken"
)

MINI = LIBRARY_DEFAULTS | preset(
    train_images=20_000,
    batch_size=64,
    width=16,
    epochs=10,
    max_learning_rate=0.1,
    attack_steps=20,
    attack_restarts=1,
    attacked_images=500,
)

SMOKE = LIBRARY_DEFAULTS | preset(
    train_images=2048,
    batch_size=64,
    width=8,
    epochs=3,
    max_learning_rate=0.1,
    attack_steps=10,
    attack_restarts=1,
    attacked_images=100,
    fgsm_images=500,
    profiled_images=500,
)

EXPERIMENT = Experiment(
    "cifar10",
    "CIFAR-10",
    SETTINGS,
    BY_METHOD,
    {"paper": {}, "mini": MINI, "smoke": SMOKE},
)


def load(data_dir: Path | None) -> tuple[Images, Images]:
    """The train and the test images."""
    return load_images(CIFAR10, "train", data_dir), load_images(CIFAR10, "test", data_dir)


if __name__ == "__main__":
    main(EXPERIMENT, load)
