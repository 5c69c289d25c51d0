"""Scores as tables in the terminal."""

from collections.abc import Sequence
from pathlib import PurePath

try:
    from rich.table import Table
except ImportError as error:
    raise ImportError(
        f'Tables need rich ({error}). Install it with: pip install "freqreg[eval]"'
    ) from error

from freqreg.evaluation.results.records import ModelScores
from freqreg.evaluation.results.summary import Spread, by_method, has_collapsed, summary

UNITLESS = ("log B_low", "mCE")


def score_table(records: Sequence[ModelScores], baseline: ModelScores | None = None) -> Table:
    """A column for each model, a row for each headline number; accuracies in percent.

    Args:
        records: of the models.
        baseline: what mCE is relative to.
    """
    numbers = [summary(record, baseline) for record in records]
    table = Table("", *(_heading(record) for record in records))
    for name in _in_order(numbers):
        table.add_row(name, *(_cell(name, of_model.get(name)) for of_model in numbers))
    verdicts = [has_collapsed(record) for record in records]
    table.add_row("collapsed", *("" if v is None else "yes" if v else "no" for v in verdicts))
    return table


def seed_table(records: Sequence[ModelScores], baseline: ModelScores | None = None) -> Table | None:
    """Mean ± standard deviation over training seeds, and every value, for each method.

    Returns:
        None where no method has several models.
    """
    methods = by_method(records, baseline)
    repeated = {
        method: numbers
        for method, numbers in methods.items()
        if any(len(spread.values) > 1 for spread in numbers.values())
    }
    if not repeated:
        return None
    table = Table("method", "", "mean ± std", "every seed")
    for method, numbers in repeated.items():
        for name, spread in numbers.items():
            table.add_row(method, name, _spread(name, spread), _every(name, spread))
        table.add_section()
    return table


def _heading(record: ModelScores) -> str:
    seed = record.about["training_seed"]
    if record.method != record.model:
        return record.method if seed is None else f"{record.method}\nseed {seed}"
    return PurePath(record.model).name


def _in_order(numbers: Sequence[dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for of_model in numbers for name in of_model))


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if name in UNITLESS else f"{100 * value:.2f}"


def _spread(name: str, spread: Spread) -> str:
    return f"{_cell(name, spread.mean)} ± {_cell(name, spread.std)}"


def _every(name: str, spread: Spread) -> str:
    return "  ".join(_cell(name, value) for value in spread.values)
