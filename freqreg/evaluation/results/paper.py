"""The paper's figures, by data set, method and score.

`paper_results.json` has Tables 1 to 6 (of Table 2 the numbers, not the pictures) and apparent
misprints. Accuracies are in percent, as in the paper.
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
"""The usual names of the paper's data sets."""

METHODS: dict[str, str] = _CONTENT["methods"]
"""The usual names of the recipes' methods, in the paper's order."""

RELATIVE_COST = "relative cost"
"""Seconds of a training iteration divided by those of standard training."""

CORRUPTION_LOG_B_LOW: dict[str, float] = _CONTENT["corruption_log_b_low"]
"""log B_low of CIFAR-10-C's corruptions, from low frequencies to high: Table 1, column B_low."""


@dataclass(frozen=True)
class Published:
    """A figure of the paper."""

    table: int  # number of its table
    mean: float  # over seeds; accuracies and mCE in percent
    std: float | None = None  # over seeds, where printed


@dataclass(frozen=True)
class Erratum:
    """An apparent misprint."""

    where: str  # place in the paper
    note: str  # what is wrong
    score: str | None = None  # score of the figures concerned, if there are figures
    methods: tuple[str, ...] = ()  # methods of these figures

    def concerns(self, figure: Published, method: str, score: str) -> bool:
        """Return whether this figure is in doubt."""
        here = self.where == f"table {figure.table}" and self.score == score
        return here and method in self.methods


ERRATA = tuple(
    Erratum(**entry | {"methods": tuple(entry.get("methods", ()))}) for entry in _CONTENT["errata"]
)


def published(dataset: str, method: str, score: str) -> Published | None:
    """Return a figure of the paper, from the first table that has it; None if none has.

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
    """Return the numbers of the tables about a data set, and what they show."""
    return {t["table"]: t["shows"] for t in _CONTENT["tables"] if t["dataset"] == dataset}
