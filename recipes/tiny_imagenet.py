"""Tiny ImageNet as in the paper's section 4: as CIFAR-100, but for λ.

Its settings, and where each comes from, are in recipe/settings/paper.toml.

accelerate launch recipes/tiny_imagenet.py --method fgsm+jafr --preset paper
"""

from recipe.command_line import main
from recipe.data_sets import TINY_IMAGENET, loader
from recipe.settings.paper import experiment

EXPERIMENT = experiment("tiny_imagenet")

load = loader(TINY_IMAGENET)

if __name__ == "__main__":
    main(EXPERIMENT, load)
