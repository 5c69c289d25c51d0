"""Tiny ImageNet as in the paper's section 4: as CIFAR-100, but for λ.

accelerate launch recipes/tiny_imagenet.py --method fgsm+jafr --preset paper
"""

from recipe.command_line import main
from recipe.data_sets import TINY_IMAGENET, loader
from recipe.settings.experiment import (
    Experiment,
    Settings,
    our_choice,
    paper,
    preset,
    published_code,
)
from recipe.settings.paper import MINI, SETUP, SMOKE, fourier, negative

SMALLER = preset(train_images=10_000)  # 64×64 pixels: four times the work of an image of CIFAR

EXPERIMENT = Experiment(
    "tiny_imagenet",
    "Tiny ImageNet",
    base=Settings(
        **SETUP,
        train_images=paper(100_000, "all of them"),
        flip=published_code(True),
        epochs=paper(30, "as on CIFAR-100"),
        warmup_epochs=published_code(0),
        max_learning_rate=paper(0.3, "cyclic; by the code it peaks at floor(2/5 of the epochs)"),
        lambda_align=our_choice(0.2, "as on CIFAR-100; no commands were published"),
        lambda_freq=paper(0.002),
        attacked_images=published_code(10_000, "the validation images: test labels are not public"),
    ),
    by_method={
        "standard": {"max_learning_rate": paper(0.2, "as on CIFAR-100")},
        "jafr": {"max_learning_rate": paper(0.1, "as on CIFAR-100")},
        "jafr-": negative("JaFR", 0.1, 0.002),
        "fgsm+jafr-": negative("FGSM + JaFR", 0.3, 0.002),
        "nfgsm": {"max_learning_rate": our_choice(0.3, "as all adversarial training")},
        **fourier(0.1, 0.3),
        "pgd2": {"max_learning_rate": our_choice(0.3, "as all adversarial training")},
    },
    presets={"paper": {}, "mini": {**MINI, **SMALLER}, "smoke": SMOKE},
)

load = loader(TINY_IMAGENET)

if __name__ == "__main__":
    main(EXPERIMENT, load)
