"""The table that a run ends with."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from recipe.results.files import Results
from recipe.results.measures import Measures

COLUMNS = (
    "clean %",
    "FGSM %",
    "PGD %",
    "high-frequency\nnoise %",
    "low-frequency\nnoise %",
    "log B_low",
    "seconds\na step",
)


def results_table(results: Iterable[Results], *, title: str) -> Table:
    """One row a run: accuracies in percent, log B_low, and what a step cost.

    The best model has a row of its own where it is not the last.
    """
    table = Table(title=title)
    table.add_column("method", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for result in results:
        seconds = f"{result.seconds_per_step:.3f}"
        table.add_row(result.method, *_figures(result.measures), seconds)
        if result.best is not None and result.best.step != result.steps:
            name = f"  its best, step {result.best.step}"
            table.add_row(name, *_figures(result.best.measures), seconds)
    return table


def print_table(results: Iterable[Results], *, title: str) -> None:
    """Print the table, in full width where the output is no terminal."""
    console = Console()
    Console(width=None if console.is_terminal else 120).print(results_table(results, title=title))


def _figures(found: Measures) -> list[str]:
    shares = (found.clean, found.fgsm, found.pgd, found.high_noise, found.low_noise)
    percent = [f"{100 * share:.2f}" for share in shares]
    return [*percent, f"{found.log_b_low:.2f}"]
