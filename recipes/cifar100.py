"""CIFAR-100 as in the paper's section 4: as CIFAR-10, but for learning rates.

accelerate launch recipes/cifar100.py --method fgsm+jafr --preset paper
"""

from recipe.command_line import main
from recipe.data_sets import CIFAR100, loader
from recipe.settings.experiment import Experiment, Settings, our_choice, paper, published_code
from recipe.settings.paper import MINI, SETUP, SMOKE, fourier, negative

EXPERIMENT = Experiment(
    "cifar100",
    "CIFAR-100",
    base=Settings(
        **SETUP,
        train_images=paper(50_000, "all of them"),
        flip=published_code(True),
        epochs=paper(30, "as on CIFAR-10"),
        warmup_epochs=published_code(0),
        max_learning_rate=paper(0.3, "cyclic; by the code it peaks at floor(2/5 of the epochs)"),
        lambda_align=published_code(0.2, "the clean gradient detached"),
        lambda_freq=paper(0.001),
        attacked_images=published_code(10_000),
    ),
    by_method={
        "standard": {"max_learning_rate": paper(0.2)},
        "jafr": {"max_learning_rate": paper(0.1)},
        "jafr-": negative("JaFR", 0.1, 0.001),
        "fgsm+jafr": {"lambda_freq": paper(0.001, "the published script has 0.002")},
        "fgsm+jafr-": negative("FGSM + JaFR", 0.3, 0.001),
        "nfgsm": {"max_learning_rate": our_choice(0.3, "as all adversarial training")},
        **fourier(0.1, 0.3),
        "pgd2": {"max_learning_rate": our_choice(0.3, "as all adversarial training")},
    },
    presets={"paper": {}, "mini": MINI, "smoke": SMOKE},
)

load = loader(CIFAR100)

if __name__ == "__main__":
    main(EXPERIMENT, load)
