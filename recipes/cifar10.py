"""CIFAR-10 as in the paper's section 4.

Its settings, and where each comes from, are in recipe/settings/paper.toml.

accelerate launch recipes/cifar10.py --method fgsm+jafr --preset paper
accelerate launch recipes/cifar10.py --method jafr --data-dir ~/data/cifar10
"""

from recipe.command_line import main
from recipe.data_sets import CIFAR10, loader
from recipe.settings.paper import experiment

EXPERIMENT = experiment("cifar10")

load = loader(CIFAR10)

if __name__ == "__main__":
    main(EXPERIMENT, load)
