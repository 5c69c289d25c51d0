"""What works with a model, what it costs, and what to change."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from freqreg._guards.model_compatibility import kinked_modules, labels, shortened
from freqreg._guards.verification import foreign_modules
from freqreg._step.passes import RandomState
from freqreg.diagnostics.measures import (
    Cost,
    Gradient,
    cosine,
    cost,
    gradient,
    inner_product,
    norm,
    untouched,
)
from freqreg.diagnostics.obstacles import (
    EXACT,
    Obstacle,
    found_in,
    in_place,
    without_second_derivative,
)
from freqreg.differentiation import Differentiation, DoubleBackprop, FiniteDifference
from freqreg.errors import CoarseStepWarning, ForeignGradientWarning, SettingError
from freqreg.input_gradients import LossFn
from freqreg.objective import Objective, require_images, require_objective
from freqreg.regularizers import JaFR

Images = Float[Tensor, "batch channel height width"]

_CROSS_ENTROPIES = partial(F.cross_entropy, reduction="none")
_VERIFIED = (ForeignGradientWarning, CoarseStepWarning)
_LEGEND = (
    "share: norm of the penalty's gradient over the main loss's; cosine: to the exact gradient."
)


@dataclass(frozen=True)
class DifferentiationTrial:
    """A way to differentiate the penalties, as it went.

    Args:
        name: as it is typed, like "DoubleBackprop()"; ", streamed" with `objective.losses`. Where
            penalties are on losses alone, "one scalar" and "streamed".
        cost: of a whole step; None where it failed.
        share: norm of the penalties' gradient over that of the main loss, both with their weights.
        cosine: of the angle between the penalties' gradient and the exact one; None where double
            backprop failed.
        error: kind and message of what was raised.
        warnings: what a model's first step would say of it.
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
    """What `check` found; `print` it, or let a notebook show it."""

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

    def __repr__(self) -> str:
        return str(self)

    def _failures(self) -> Iterator[str]:
        """Each error once, unless an obstacle says the same of the same modules."""
        errors = dict.fromkeys(way.error for way in self.ways if way.error is not None)
        named = [
            m for obstacle in self.obstacles if obstacle.hinders == EXACT for m in obstacle.modules
        ]
        for error in errors:
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


def check(
    model: nn.Module,
    x: Images,
    y: object,
    objective: Objective | None = None,
    criterion: Callable[..., Tensor] = _CROSS_ENTROPIES,
) -> Report:
    """Try a whole step with each differentiation: what works, what it costs, what to change.

    The model is run in training mode, some fifteen times; afterwards its parameters, gradients,
    buffers and modes are as before, and so are torch's random generators.

    >>> print(check(model, x, y))  # doctest: +SKIP

    Args:
        model: what is trained, on the device on which it will be.
        x: a batch of images such as training sees.
        y: their targets.
        objective: what will be minimised, by default with JaFR(1e-3); schedules at their step 0.
        criterion: loss of (model(x), y): one per image, or their mean; by default the
            cross-entropy of each.

    Raises:
        SettingError: the objective has no regularizer, or `model` is no module.
        InputError: `x` is not a batch of float images.
        Exception: whatever a plain step raises, where not even that works.
    """
    objective = objective or Objective([JaFR()])
    _require_arguments(model, x, objective)
    if not objective.regularizers:
        raise SettingError(
            f"{objective} has no regularizer, so that there is nothing to differentiate twice. "
            "Give one: Objective([JaFR()])."
        )
    with untouched(model, x) as random:
        if not model.training:
            model.train()
        trial = _Trial(model, x, lambda images: criterion(model(images), y), objective, random)
        plain = cost(trial.step(Objective()), x.device)
        ways = trial.ways()
        obstacles = tuple(trial.obstacles(ways))
        notes = tuple(trial.notes(ways))
    size = "x".join(map(str, x.shape[1:]))
    penalties = " and ".join(regularizer.name for regularizer in objective.regularizers)
    title = f"{type(model).__name__}, {len(x)} images of {size}, {penalties}"
    return Report(title, plain, tuple(ways), obstacles, notes)


def _require_arguments(model: object, x: Images, objective: object) -> None:
    if not isinstance(model, nn.Module):
        raise SettingError(
            f"model is a {type(model).__name__}, not a torch.nn.Module. The order is "
            "check(model, images, targets)."
        )
    require_images(x)
    require_objective(objective)


@dataclass(frozen=True)
class _Trial:
    """A model, a batch and an objective, on which steps are tried from the same random state."""

    model: nn.Module
    x: Images
    loss_fn: LossFn
    objective: Objective
    random: RandomState

    def step(self, objective: Objective) -> Callable[[], None]:
        return self._started(lambda: self._value(objective).backward())

    def streamed(self, objective: Objective) -> Callable[[], None]:
        def run() -> None:
            for loss in objective.losses(self.loss_fn, self.x, model=self.model, step=0):
                loss.backward()

        return self._started(run)

    def penalties(self, objective: Objective) -> Callable[[], None]:
        return self._started(lambda: self._penalties(objective).backward())

    def _penalties(self, objective: Objective) -> Tensor:
        self.random.restore()
        return objective.penalties(self.loss_fn, self.x, model=self.model, step=0)

    def ways(self) -> dict[DifferentiationTrial, Gradient | None]:
        main = norm(gradient(self.step(replace(self.objective, regularizers=())), self.model))
        if not self._takes_gradients:
            summed, reference = self._way(DoubleBackprop(), main, None, name="one scalar")
            streamed = self._way(DoubleBackprop(), main, reference, name="streamed", streamed=True)
            return dict([(summed, reference), streamed])
        differences = _differences(self.objective.differentiation)
        one_sided = replace(differences, scheme="one-sided")
        exact, reference = self._way(DoubleBackprop(), main, None)
        return {exact: reference} | dict(
            (
                self._way(differences, main, reference),
                self._way(differences, main, reference, streamed=True),
                self._way(one_sided, main, reference),
            )
        )

    def notes(self, ways: dict[DifferentiationTrial, Gradient | None]) -> Iterator[str]:
        """What a first step would warn of, and which of two gradients is that of the penalties."""
        said = {type(note): str(note) for way in reversed(ways) for note in way.warnings}
        yield from reversed(said.values())
        (exact, one), (differences, other), *_ = ways.items()
        if one is None or other is None or kinked_modules(self.loss_fn, self.x):
            return
        apart = [a - b for a, b in zip(one, other, strict=True)]
        if norm(apart) < 0.05 * norm(one):
            return
        share = self._slope(apart) - inner_product(other, apart)
        share /= inner_product(apart, apart)
        if abs(share - 0.5) > 0.25:  # measured to be near to one of them
            right, wrong = (exact, differences) if share > 0.5 else (differences, exact)
            found = foreign_modules(self.loss_fn, self.x)
            where = f" Look at {shortened(labels(found))}." if found else ""
            yield (
                f"{right.name} and {wrong.name} differ, and where they do, the penalties change "
                f"with the parameters as {right.name} says: {wrong.name} is wrong here.{where}"
            )

    def _slope(self, direction: Gradient) -> float:
        """Of the penalties along a direction of the parameters, by a central difference."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        kept = [p.detach().clone() for p in parameters]
        step = 1e-3 * norm(kept) / norm(direction)
        values = []
        try:
            for end in (step, -step):
                for parameter, value, along in zip(parameters, kept, direction, strict=True):
                    parameter.data.copy_(value + end * along)
                values.append(self._penalties(self.objective).item())
        finally:
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.data.copy_(value)
        return (values[0] - values[1]) / (2 * step)

    def obstacles(self, ways: Iterable[DifferentiationTrial]) -> Iterator[Obstacle]:
        with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)  # with hooks
            if any(_is_of_in_place_work(way.error) for way in ways):
                yield in_place(self.model, self.loss_fn, self.x)
                return
            if not self._takes_gradients:
                return
            if not next(iter(ways)).works:
                yield from without_second_derivative(self.loss_fn, self.x)
            yield from found_in(self.model, self.loss_fn, self.x)

    def _way(
        self,
        differentiation: Differentiation,
        main: float,
        reference: Gradient | None,
        *,
        streamed: bool = False,
        name: str = "",
    ) -> tuple[DifferentiationTrial, Gradient | None]:
        name = name or _typed(differentiation) + (", streamed" if streamed else "")
        objective = replace(self.objective, differentiation=differentiation)
        run = self.streamed if streamed else self.step
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                measured = cost(run(objective), self.x.device)
                unfrozen = replace(objective, batch_norm="every pass")  # as the main pass is
                found = gradient(self.penalties(unfrozen), self.model)
        except Exception as error:
            return DifferentiationTrial(name, error=f"{type(error).__name__}: {error}"), None
        share = norm(found) / main if main else None
        alike = None if reference is None else cosine(found, reference)
        said = tuple(w.message for w in caught if isinstance(w.message, _VERIFIED))
        return DifferentiationTrial(name, measured, share, alike, warnings=said), found

    @property
    def _takes_gradients(self) -> bool:
        """Whether something is differentiated twice, or by differences."""
        return any(regularizer.takes_gradients for regularizer in self.objective.regularizers)

    def _value(self, objective: Objective) -> Tensor:
        return objective(self.loss_fn, self.x, model=self.model, step=0)

    def _started(self, run: Callable[[], None]) -> Callable[[], None]:
        """`run` without gradients from before, from the random state that all steps share."""

        def started() -> None:
            self.model.zero_grad()
            self.random.restore()
            run()

        return started


def _differences(chosen: Differentiation) -> FiniteDifference:
    if isinstance(chosen, FiniteDifference):
        return replace(chosen, scheme="central")
    return FiniteDifference()


def _typed(differentiation: Differentiation) -> str:
    """How it is written, without what is so by default."""
    set_fields = (
        f"{field.name}={getattr(differentiation, field.name)!r}"
        for field in fields(differentiation)  # pyright: ignore[reportArgumentType]
        if getattr(differentiation, field.name) != field.default
    )
    return f"{type(differentiation).__name__}({', '.join(set_fields)})"


def _is_of_in_place_work(error: str | None) -> bool:
    return error is not None and ("inplace" in error or "in-place" in error)
