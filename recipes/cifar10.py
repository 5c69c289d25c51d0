"""CIFAR-10 as in the paper's section 4.

accelerate launch recipes/cifar10.py --method fgsm+jafr --preset paper
accelerate launch recipes/cifar10.py --method jafr --data-dir ~/data/cifar10
"""

from recipe.command_line import main
from recipe.data_sets import CIFAR10, loader
from recipe.settings.experiment import Experiment, Settings, our_choice, paper, published_code
from recipe.settings.paper import MINI, SETUP, SMOKE, fourier, negative

ADVERSARIAL_RATE = paper(0.3)

EXPERIMENT = Experiment(
    "cifar10",
    "CIFAR-10",
    base=Settings(
        **SETUP,
        train_images=paper(50_000, "all of them"),
        flip=published_code(True),
        epochs=paper(30),
        warmup_epochs=published_code(0),
        max_learning_rate=paper(0.2, "cyclic; by the code it peaks at floor(2/5 of the epochs)"),
        lambda_align=published_code(0.2, "the clean gradient detached"),
        lambda_freq=paper(0.001),
        attacked_images=published_code(10_000),
    ),
    by_method={
        "jafr-": negative("JaFR", 0.2, 0.001),
        "fgsm+jafr": {"max_learning_rate": ADVERSARIAL_RATE},
        "fgsm+jafr-": negative("FGSM + JaFR", 0.3, 0.001),
        "fgsm+gradalign": {"max_learning_rate": ADVERSARIAL_RATE},
        "pgd": {"max_learning_rate": ADVERSARIAL_RATE},
        "nfgsm": {"max_learning_rate": our_choice(0.3, "as FGSM + JaFR and PGD")},
        **fourier(0.2, 0.3),
        "pgd2": {"max_learning_rate": our_choice(0.3, "as PGD")},
    },
    presets={"paper": {}, "mini": MINI, "smoke": SMOKE},
)

load = loader(CIFAR10)

if __name__ == "__main__":
    main(EXPERIMENT, load)
