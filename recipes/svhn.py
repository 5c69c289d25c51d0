"""SVHN (cropped digits) as in the paper's section 4.

Its settings, and where each comes from, are in recipe/settings/paper.toml.

accelerate launch recipes/svhn.py --method fgsm+jafr --preset paper
"""

from recipe.command_line import main
from recipe.data_sets import SVHN, loader
from recipe.settings.paper import experiment

EXPERIMENT = experiment("svhn")

load = loader(SVHN)

if __name__ == "__main__":
    main(EXPERIMENT, load)
