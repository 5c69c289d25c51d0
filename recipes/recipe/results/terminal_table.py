"""The table at the end of a run."""

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Column, Table

from recipe.results.files import Results
from recipe.results.measures import Measures

COLUMNS = {
    "clean %": "clean",
    "FGSM %": "fgsm",
    "PGD %": "pgd",
    "high-frequency\nnoise %": "high_noise",
    "low-frequency\nnoise %": "low_noise",
    "log B_low": "log_b_low",
}


def print_table(results: Iterable[Results], *, title: str) -> None:
    """Print a row per run: accuracies in percent, log B_low, and the seconds of a step.

    The best model has its own row if it is not the last. Without a terminal, the table has its full
    width.
    """
    print_rows(("method", *COLUMNS, "seconds\na step"), _rows(results), title=title)


def print_rows(head: Iterable[str], rows: Iterable[Iterable[str]], *, title: str) -> None:
    """Print a table of names, in the first column, and figures."""
    first, *right = head
    columns = (Column(name, justify="right", no_wrap=True) for name in right)
    table = Table(Column(first, no_wrap=True), *columns, title=title)
    for row in rows:
        table.add_row(*row)
    console = Console()
    Console(width=None if console.is_terminal else 120).print(table)


def _rows(results: Iterable[Results]) -> Iterator[list[str]]:
    for result in results:
        seconds = f"{result.seconds_per_step:.3f}"
        yield [result.method, *_figures(result.measures), seconds]
        if result.best is not None and result.best.step != result.steps:
            name = f"  its best, step {result.best.step}"
            yield [name, *_figures(result.best.measures), seconds]


def _figures(found: Measures) -> list[str]:
    factors = {title: 100 if "%" in title else 1 for title in COLUMNS}
    return [f"{factors[title] * getattr(found, name):.2f}" for title, name in COLUMNS.items()]
