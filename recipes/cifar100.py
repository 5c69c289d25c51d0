"""CIFAR-100 as in the paper's section 4: as CIFAR-10, but for learning rates.

Its settings, and where each comes from, are in recipe/settings/paper.toml.

accelerate launch recipes/cifar100.py --method fgsm+jafr --preset paper
"""

from recipe.command_line import main
from recipe.data_sets import CIFAR100, loader
from recipe.settings.paper import experiment

EXPERIMENT = experiment("cifar100")

load = loader(CIFAR100)

if __name__ == "__main__":
    main(EXPERIMENT, load)
