"""SVHN (cropped digits) as in the paper's section 4.

accelerate launch recipes/svhn.py --method fgsm+jafr --preset paper
"""

from recipe.command_line import main
from recipe.data_sets import SVHN, loader
from recipe.settings.experiment import (
    Experiment,
    Settings,
    our_choice,
    paper,
    preset,
    published_code,
)
from recipe.settings.paper import MINI, SETUP, SMOKE, fourier, negative

OWN = preset(max_learning_rate=0.05, warmup_epochs=3)

EXPERIMENT = Experiment(
    "svhn",
    "SVHN",
    base=Settings(
        **SETUP,
        train_images=paper(73_257, "all of them"),
        flip=published_code(False),
        epochs=paper(15),
        warmup_epochs=published_code(5, "of FGSM's step and PGD's radius, linearly by iterations"),
        max_learning_rate=paper(0.05, "cyclic; by the code it peaks at floor(2/5 of the epochs)"),
        lambda_align=paper(2.5, "Andriushchenko & Flammarion's, to whom the paper refers"),
        lambda_freq=paper(0.001),
        attacked_images=published_code(26_032),
    ),
    by_method={
        "jafr-": negative("JaFR", 0.05, 0.001),
        "fgsm+jafr": {"lambda_freq": paper(0.05)},
        "fgsm+jafr-": negative("FGSM + JaFR", 0.05, 0.05),
        "nfgsm": {"max_learning_rate": our_choice(0.05, "as all methods")},
        **fourier(0.05, 0.05),
        "pgd2": {"max_learning_rate": our_choice(0.05, "as all methods")},
    },
    presets={
        "paper": {},
        "mini": {**MINI, **OWN},
        "smoke": {**SMOKE, **OWN, **preset(warmup_epochs=1)},
    },
)

load = loader(SVHN)

if __name__ == "__main__":
    main(EXPERIMENT, load)
