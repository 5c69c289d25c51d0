"""The paper's figures as data, by data set, method and score.

`paper_results.json` has Tables 1 to 6, with Table 2's numbers but not its pictures, and what seems
to be misprinted. Accuracies are in percent there, as in the paper.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

_CONTENT: dict[str, Any] = json.loads(
    files("freqreg.evaluation.results").joinpath("paper_results.json").read_text(encoding="utf-8")
)

SOURCE: str = _CONTENT["source"]

DATASETS: dict[str, str] = _CONTENT["datasets"]
"""The data sets of the paper, as people call them."""

METHODS: dict[str, str] = _CONTENT["methods"]
"""The recipes' methods as people call them, in the paper's order."""

RELATIVE_COST = "relative cost"
"""Seconds of a training iteration over those of standard training."""

CORRUPTION_LOG_B_LOW: dict[str, float] = _CONTENT["corruption_log_b_low"]
"""Of CIFAR-10-C's corruptions, from low frequencies to high: Table 1, column B_low."""


@dataclass(frozen=True)
class Published:
    """A figure of the paper."""

    table: int  # its number
    mean: float  # over seeds; accuracies and mCE in percent
    std: float | None = None  # over seeds, where printed


@dataclass(frozen=True)
class Erratum:
    """What seems to be misprinted."""

    where: str  # in the paper
    note: str  # what is wrong with it
    score: str | None = None  # of the figures concerned, if they are figures
    methods: tuple[str, ...] = ()  # whose

    def concerns(self, figure: Published, method: str, score: str) -> bool:
        """Whether this figure is in doubt."""
        here = self.where == f"table {figure.table}" and self.score == score
        return here and method in self.methods


ERRATA = tuple(
    Erratum(**entry | {"methods": tuple(entry.get("methods", ()))}) for entry in _CONTENT["errata"]
)


def published(dataset: str, method: str, score: str) -> Published | None:
    """A figure of the paper, from the first table that has it; None where it prints none.

    Args:
        dataset: one of `DATASETS`.
        method: one of `METHODS`.
        score: "clean", "fgsm", "pgd", "mCE", "log_b_low", "seconds" (of a training iteration on a
            V100), `RELATIVE_COST`, or "corruption/NAME".
    """
    if score == RELATIVE_COST:
        own, plain = (published(dataset, of, "seconds") for of in (method, "standard"))
        return own and plain and Published(own.table, own.mean / plain.mean)
    for table in _CONTENT["tables"]:
        figure = table["methods"].get(method, {}).get(score)
        if table["dataset"] == dataset and figure is not None:
            return Published(table["table"], *figure)
    return None


def tables_of(dataset: str) -> dict[int, str]:
    """Numbers of the tables about a data set, and what they show."""
    return {t["table"]: t["shows"] for t in _CONTENT["tables"] if t["dataset"] == dataset}
