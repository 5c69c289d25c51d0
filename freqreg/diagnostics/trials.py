"""Trials of each differentiation on a model."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg._guards.model_compatibility import kinked_modules, labels, shortened
from freqreg._guards.verification import foreign_modules
from freqreg._step.randomness import RandomState
from freqreg.diagnostics import measures
from freqreg.diagnostics.measures import Gradient, Run
from freqreg.diagnostics.obstacles import Obstacle, found_in, in_place, without_second_derivative
from freqreg.diagnostics.report import DifferentiationTrial, Report
from freqreg.differentiation import Differentiation, DoubleBackprop, FiniteDifference
from freqreg.errors import CoarseStepWarning, ForeignGradientWarning, SettingError
from freqreg.input_gradients import LossFn
from freqreg.objective import Objective, require_images, require_objective
from freqreg.pixels import Images
from freqreg.regularizers import JaFR

_CROSS_ENTROPIES = partial(F.cross_entropy, reduction="none")
_VERIFIED = (ForeignGradientWarning, CoarseStepWarning)


def check(
    model: nn.Module,
    x: Images,
    y: object,
    objective: Objective | None = None,
    criterion: Callable[..., Tensor] = _CROSS_ENTROPIES,
) -> Report:
    """Try a whole step with each differentiation: what works, what it costs, what to change.

    The model runs in training mode, about fifteen times. Afterwards its parameters, gradients,
    buffers and modes are as before, and so are torch's random generators.

    >>> print(check(model, x, y))  # doctest: +SKIP

    Args:
        model: the model to train, on the device of the training.
        x: a batch of images as in training.
        y: their targets.
        objective: the objective to minimise, by default with JaFR(1e-3); schedules are at step 0.
        criterion: loss of (model(x), y): one per image, or their mean; by default each image's
            cross-entropy.

    Raises:
        SettingError: the objective has no regularizer, all weights are 0, or `model` is no module.
        InputError: `x` is not a batch of float images.
        Exception: a plain step raised it.
    """
    objective = objective or Objective([JaFR()])
    if not isinstance(model, nn.Module):
        raise SettingError(
            f"model is a {type(model).__name__}, not a torch.nn.Module. The order is "
            "check(model, images, targets)."
        )
    require_images(x)
    require_objective(objective)
    if not objective.regularizers:
        raise SettingError(
            f"{objective} has no regularizer, so there is nothing to differentiate twice. "
            "Give one: Objective([JaFR()])."
        )
    if not any(regularizer.weight_at(0) for regularizer in objective.regularizers):
        raise SettingError(
            f"All weights of {objective} are 0 at step 0, so there is no penalty to try. "
            "Give one a weight: JaFR(1e-3)."
        )
    with measures.untouched(model, x) as random:
        if not model.training:
            model.train()
        trial = _Trial(model, x, lambda images: criterion(model(images), y), objective, random)
        plain = measures.cost(trial.step(Objective()), x.device)
        ways = trial.ways()
        obstacles = tuple(trial.obstacles(ways))
        notes = tuple(trial.notes(ways))
    size = "x".join(map(str, x.shape[1:]))
    penalties = " and ".join(regularizer.name for regularizer in objective.regularizers)
    title = f"{type(model).__name__}, {len(x)} images of {size}, {penalties}"
    return Report(title, plain, tuple(ways), obstacles, notes)


@dataclass(frozen=True)
class _Trial:
    """A model, a batch and an objective; all steps start from the same random state."""

    model: nn.Module
    x: Images
    loss_fn: LossFn
    objective: Objective
    random: RandomState

    def step(self, objective: Objective, *, streamed: bool = False) -> Run:
        """Return a whole step, which starts without gradients."""

        def run() -> None:
            self.model.zero_grad()
            self.random.restore()
            if streamed:
                for loss in objective.losses(self.loss_fn, self.x, model=self.model, step=0):
                    loss.backward()
            else:
                objective(self.loss_fn, self.x, model=self.model, step=0).backward()

        return run

    def penalties(self, objective: Objective) -> Tensor:
        self.random.restore()
        return objective.penalties(self.loss_fn, self.x, model=self.model, step=0)

    def ways(self) -> dict[DifferentiationTrial, Gradient | None]:
        """Try each way to differentiate the penalties; return their gradients too."""
        plain = self.step(replace(self.objective, regularizers=()))
        main = measures.norm(measures.gradient(plain, self.model))
        if not self._takes_gradients:
            summed, reference = self._way(DoubleBackprop(), main, None, name="one scalar")
            streamed = self._way(DoubleBackprop(), main, reference, name="streamed", streamed=True)
            return dict([(summed, reference), streamed])
        chosen = self.objective.differentiation
        differences = chosen if isinstance(chosen, FiniteDifference) else FiniteDifference()
        central = replace(differences, scheme="central")
        one_sided = replace(differences, scheme="one-sided")
        exact, reference = self._way(DoubleBackprop(), main, None)
        others = [
            self._way(central, main, reference),
            self._way(central, main, reference, streamed=True),
            self._way(one_sided, main, reference),
        ]
        return dict([(exact, reference), *others])

    def notes(self, ways: dict[DifferentiationTrial, Gradient | None]) -> Iterator[str]:
        """Say what a first step would warn of, and which of two gradients the penalties follow."""
        said = {type(note): str(note) for way in reversed(ways) for note in way.warnings}
        yield from reversed(said.values())
        (exact, one), (differences, other), *_ = ways.items()
        if one is None or other is None or kinked_modules(self.loss_fn, self.x):
            return
        apart = [a - b for a, b in zip(one, other, strict=True)]
        if measures.norm(apart) < 0.05 * measures.norm(one):
            return
        share = self._slope(apart) - measures.inner_product(other, apart)
        share /= measures.inner_product(apart, apart)
        if abs(share - 0.5) > 0.25:  # the measured slope is close to one of them
            right, wrong = (exact, differences) if share > 0.5 else (differences, exact)
            found = foreign_modules(self.loss_fn, self.x)
            where = f" Look at {shortened(labels(found))}." if found else ""
            yield (
                f"{right.name} and {wrong.name} differ, and where they do, the penalties change "
                f"with the parameters as {right.name} says: {wrong.name} is wrong here.{where}"
            )

    def _slope(self, direction: Gradient) -> float:
        """Measure the penalties' slope along a direction of the parameters."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        kept = [p.detach().clone() for p in parameters]
        step = 1e-3 * measures.norm(kept) / measures.norm(direction)
        values = []
        try:
            for end in (step, -step):
                for parameter, value, along in zip(parameters, kept, direction, strict=True):
                    parameter.data.copy_(value + end * along)
                values.append(self.penalties(self.objective).item())
        finally:
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.data.copy_(value)
        return (values[0] - values[1]) / (2 * step)

    def obstacles(self, ways: Iterable[DifferentiationTrial]) -> Iterator[Obstacle]:
        with torch.compiler.set_stance("force_eager"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)  # with hooks
            errors = [way.error for way in ways if way.error is not None]
            if any("inplace" in error or "in-place" in error for error in errors):
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
        unfrozen = replace(objective, batch_norm="every pass")  # like the main pass
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                cost = measures.cost(self.step(objective, streamed=streamed), self.x.device)
                found = measures.gradient(lambda: self.penalties(unfrozen).backward(), self.model)
        except Exception as error:
            return DifferentiationTrial(name, error=f"{type(error).__name__}: {error}"), None
        share = measures.norm(found) / main if main else None
        cosine = None if reference is None else measures.cosine(found, reference)
        said = tuple(w.message for w in caught if isinstance(w.message, _VERIFIED))
        return DifferentiationTrial(name, cost, share, cosine, warnings=said), found

    @property
    def _takes_gradients(self) -> bool:
        """Whether something is differentiated twice, or by differences."""
        return any(regularizer.takes_gradients for regularizer in self.objective.regularizers)


def _typed(differentiation: Differentiation) -> str:
    """Write a differentiation as one types it, without default values."""
    set_fields = (
        f"{field.name}={getattr(differentiation, field.name)!r}"
        for field in fields(differentiation)  # pyright: ignore[reportArgumentType]
        if getattr(differentiation, field.name) != field.default
    )
    return f"{type(differentiation).__name__}({', '.join(set_fields)})"
