"""The results of `check`, as text."""

from collections.abc import Iterator
from dataclasses import dataclass

from freqreg.diagnostics.measures import Cost
from freqreg.diagnostics.obstacles import EXACT, Obstacle

_LEGEND = (
    "share: norm of the penalty's gradient over the main loss's; cosine: to the exact gradient."
)


@dataclass(frozen=True)
class DifferentiationTrial:
    """The trial of one way to differentiate the penalties.

    Args:
        name: the differentiation as you type it, such as "DoubleBackprop()", with ", streamed" for
            `objective.losses`. If all penalties are on losses only: "one scalar" or "streamed".
        cost: cost of a whole step; None if it failed.
        share: norm of the penalties' gradient over that of the main loss, both with their weights.
        cosine: of the angle between the penalties' gradient and the exact one; None if double
            backprop failed.
        error: type and message of the error.
        warnings: what a model's first step would warn of.
    """

    name: str
    cost: Cost | None = None
    share: float | None = None
    cosine: float | None = None
    error: str | None = None
    warnings: tuple[Warning, ...] = ()

    @property
    def works(self) -> bool:
        """Whether a whole step was possible."""
        return self.error is None


@dataclass(frozen=True)
class Report:
    """The results of `check`; `print` it, or let a notebook show it."""

    title: str
    plain: Cost
    ways: tuple[DifferentiationTrial, ...]
    obstacles: tuple[Obstacle, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        rows = [("", "step", "memory", "share", "cosine"), *map(self._row, self.ways)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        plain = f"A plain step: {self.plain.seconds:.3g} s, {self.plain.bytes / 2**20:.3g} MiB."
        notes = [f"- {note}" for note in (*self._failures(), *self.obstacles, *self.notes)]
        spaced = ["", *notes] if notes else []
        return "\n".join([self.title, plain, "", *table, "", _LEGEND, *spaced])

    __repr__ = __str__

    def _failures(self) -> Iterator[str]:
        """Yield each error once, unless an obstacle names the same modules."""
        exact = [obstacle for obstacle in self.obstacles if obstacle.hinders == EXACT]
        named = [module for obstacle in exact for module in obstacle.modules]
        for error in dict.fromkeys(way.error for way in self.ways if way.error is not None):
            if not any(module in error for module in named):
                names = "; ".join(way.name for way in self.ways if way.error == error)
                yield f"{names}: {error}"

    def _row(self, way: DifferentiationTrial) -> tuple[str, ...]:
        if way.cost is None:
            return (way.name, "fails", "", "", "")
        return (
            way.name,
            f"{way.cost.seconds / self.plain.seconds:.2f} x",
            f"{way.cost.bytes / self.plain.bytes:.2f} x",
            "" if way.share is None else f"{way.share:.2g}",
            "" if way.cosine is None else f"{way.cosine:.3f}",
        )
