"""One process of a run on several; torchrun starts it. Each leaves the results that it returns.

torchrun --nproc_per_node 2 tests/recipes/two_processes.py FOLDER
"""

import sys
from pathlib import Path

import conftest  # noqa: F401  # the recipes' folder
from accelerate import Accelerator
from recipe.training.run import perform
from tiny_experiment import images, run

folder = Path(sys.argv[1])
accelerator = Accelerator(cpu=True)
job = run(folder / "run", epochs=2, best_every=1, best_images=40)
results = perform(job, images(), images(10, seed=1), accelerator, resume=False)
results.save(folder / f"{accelerator.process_index}.json")
