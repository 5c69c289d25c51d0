"""CIFAR-10 at the paper's length: the runs of `tests.benchmarks.gpu`."""

import json
from pathlib import Path

from pandas import DataFrame

SHOWN = {"clean": "clean", "fgsm": "FGSM", "pgd": "PGD", "log_b_low": "log B_low"}


def runs(folder: Path) -> DataFrame:
    """Means over the seeds of each method, accuracies in percent; empty without a run."""
    found = DataFrame(_row(json.loads(file.read_text())) for file in sorted(folder.glob("*.json")))
    if found.empty:
        return found
    of_method = found.groupby("method", sort=False)
    seeds = of_method.size().rename("seeds").to_frame()
    means = of_method[[*SHOWN.values(), "seconds a step"]].mean()
    return seeds.join(means.map("{:.4g}".format)).reset_index()


def machines(folder: Path) -> list[str]:
    """The machines of the runs."""
    files = sorted(folder.glob("*.json"))
    return sorted({json.loads(file.read_text())["machine"] for file in files})


def _row(run: dict) -> dict[str, str | float]:
    measures = run["measures"]
    figures = {
        title: measures[name] * (1 if name == "log_b_low" else 100) for name, title in SHOWN.items()
    }
    return {"method": run["method"], **figures, "seconds a step": run["seconds_per_step"]}
