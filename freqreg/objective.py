"""The objective of a training step: main loss, mixed images and weighted penalties."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial, reduce
from typing import Any, Literal, TypedDict, Unpack, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from freqreg._graph.autograd import nodes
from freqreg._settings import require_choice
from freqreg._step.passes import Passes
from freqreg._step.plan import MainLoss, RecordFn, Step, Term, unrecorded
from freqreg._torch_private import leaf, uncompiled
from freqreg.differentiation import Differentiation, DoubleBackprop
from freqreg.errors import InputError, InputGradientError, SettingError
from freqreg.input_gradients import LOSS_FN_USAGE, AuxLossFn, LossFn
from freqreg.mixers.base import Mixer, require_mixer
from freqreg.pixels import UNIT_PIXELS, PixelSpace
from freqreg.regularizers.base import Images, Regularizer, require_regularizer

AnyLossFn = LossFn | AuxLossFn
Loss = Float[Tensor, ""]
WithAux = tuple[Loss, Any]


class _More(TypedDict, total=False):
    model: nn.Module | None
    step: int | None
    record: RecordFn | None


@dataclass(frozen=True)
class Objective:
    r"""A training loss with a mixer, and penalties on its input gradients or losses of images.

    The objective is $L(\mathrm{mixer}(x)) + \sum_r \lambda_r \, \mathrm{penalty}_r(\nabla_x L(x),
    ...)$. It takes as few passes as possible: the main loss, the mixer and all regularizers share
    the clean pass and its gradient.

    >>> objective = Objective([JaFR(lambda_freq=1e-3)], mixer=FGSM(eps=8 / 255))
    >>> loss = objective(lambda x: F.cross_entropy(model(x), y), x)
    >>> loss.backward()

    The main pass (on mixed images if there is a mixer) runs as in a plain step. All other
    passes see the same dropout masks and leave the random state as they found it.

    Args:
        regularizers: penalties, each with its own weight.
        mixer: makes the images of the main pass; None trains on the clean ones.
        pixels: relation of inputs to pixels; all ε are in pixels. None: inputs are pixels in
            [0, 1], unless an integration knows the normalisation of its library.
        differentiation: `DoubleBackprop()` (exact) or `FiniteDifference()`.
        batch_norm: the passes that update running statistics: only the "main pass", or
            "every pass", as in the published JaFR code.
        verify: check a model's first step. Passes may not change `.grad`, penalties must reach
            every parameter that changes them, the loss must change as its gradient says, and
            differences must be fine enough. This costs a few passes, in that step only.

    Raises:
        SettingError: an argument is invalid, or an ε exceeds the pixel range.
    """

    regularizers: Sequence[Regularizer] = ()
    mixer: Mixer | None = None
    _: KW_ONLY
    pixels: PixelSpace | None = None
    differentiation: Differentiation = DoubleBackprop()
    batch_norm: Literal["main pass", "every pass"] = "main pass"
    verify: bool = field(default=True, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.regularizers, Iterable):
            raise SettingError(f"Give a list: Objective([{self.regularizers}]).")
        object.__setattr__(self, "regularizers", tuple(self.regularizers))
        for regularizer in self.regularizers:
            require_regularizer(regularizer)
        if self.mixer is not None:
            require_mixer(self.mixer)
        if not isinstance(self.pixels, PixelSpace | None):
            raise SettingError(f"pixels is {self.pixels!r}; give PixelSpace(mean, std).")
        if not isinstance(self.differentiation, Differentiation):
            raise SettingError(
                f"differentiation is {self.differentiation!r}; give an instance: "
                "DoubleBackprop() or FiniteDifference()."
            )
        require_choice(Literal["main pass", "every pass"], batch_norm=self.batch_norm)
        for radius in self._radii():
            self._space.require_radius(radius)

    @overload
    def __call__(
        self, loss_fn: LossFn, x: Images, *, has_aux: Literal[False] = False, **more: Unpack[_More]
    ) -> Loss: ...
    @overload
    def __call__(
        self, loss_fn: AuxLossFn, x: Images, *, has_aux: Literal[True], **more: Unpack[_More]
    ) -> WithAux: ...
    def __call__(
        self,
        loss_fn: AnyLossFn,
        x: Images,
        *,
        has_aux: bool = False,
        model: nn.Module | None = None,
        step: int | None = None,
        record: RecordFn | None = None,
    ) -> Loss | WithAux:
        """Compute the objective as one scalar; the caller runs `backward` once.

        Args:
            loss_fn: maps images to a scalar loss, or to one loss per image, [batch], whose mean
                is trained. Model, targets and autocast belong in it.
            x: float images [batch, channel, height, width].
            has_aux: `loss_fn` returns (loss, anything), such as its logits. The result is then
                (objective, anything), both of the main pass.
            model: holds the batch norms to freeze in extra passes. None: freqreg finds them.
            step: optimizer steps done so far; schedules need it.
            record: receives the parts as record(name, detached scalar): `main_loss`, `jafr`,
                `log_b_low`, ... Only reading a value waits for the device.

        Raises:
            InputError: `x` is not a batch of float images, was computed from parameters, or is
                outside the pixel space although a mixer or a regularizer counts pixels.
            InputGradientError: the loss is neither a scalar nor one per image, is a scalar
                although a regularizer needs losses of images, or does not depend on `x`; or
                gradients are switched off.
            SecondDerivativeError: `DoubleBackprop` meets an operation without second derivative.
            LowPrecisionError: `FiniteDifference` meets half precision.
            DistributedError: a wrapper would leave gradients unreduced or stale.
            DeadRegularizerError: a penalty cannot change any parameter.
            SettingError: a schedule needs `step`.
        """
        planned = self._step(loss_fn, x, has_aux=has_aux, model=model, step=step, record=record)
        total = reduce(torch.add, self._losses(planned))
        return (total, planned.passes.take_aux()) if has_aux else total

    @overload
    def losses(
        self, loss_fn: LossFn, x: Images, *, has_aux: Literal[False] = False, **more: Unpack[_More]
    ) -> Iterator[Loss]: ...
    @overload
    def losses(
        self, loss_fn: AuxLossFn, x: Images, *, has_aux: Literal[True], **more: Unpack[_More]
    ) -> Iterator[WithAux]: ...
    def losses(
        self, loss_fn: AnyLossFn, x: Images, *, has_aux: bool = False, **more: Unpack[_More]
    ) -> Iterator[Loss | WithAux]:
        """Yield losses that sum to the objective, with one graph alive at a time.

        >>> for loss in objective.losses(loss_fn, x):
        ...     loss.backward()

        Call `backward` on each loss before you take the next. `FiniteDifference` then needs the
        memory of plain training. Under DistributedDataParallel each `backward` reduces once.
        Arguments and errors are those of calling the objective. With `has_aux` it yields
        (loss, aux); `aux` is None except with the first loss after the main pass.
        """
        planned = self._step(loss_fn, x, has_aux=has_aux, streamed=True, **more)
        for loss in self._losses(planned):
            yield (loss, planned.passes.take_aux()) if has_aux else loss

    @overload
    def penalties(
        self, loss_fn: LossFn, x: Images, *, has_aux: Literal[False] = False, **more: Unpack[_More]
    ) -> Loss: ...
    @overload
    def penalties(
        self, loss_fn: AuxLossFn, x: Images, *, has_aux: Literal[True], **more: Unpack[_More]
    ) -> WithAux: ...
    def penalties(
        self, loss_fn: AnyLossFn, x: Images, *, has_aux: bool = False, **more: Unpack[_More]
    ) -> Loss | WithAux:
        """Compute the weighted penalties alone, without main loss and mixer.

        For a penalty on part of a batch, slice `x` and the targets in `loss_fn` alike. No pass
        leaves a trace, unless `batch_norm` is "every pass". Arguments and errors are those of
        calling the objective. With `has_aux` the aux is that of `x`, or None if no penalty is
        active in this step.
        """
        planned = self._step(loss_fn, x, has_aux=has_aux, trains=False, **more)
        losses = self._losses(planned) if planned.terms else iter([x.new_zeros(())])
        total = reduce(torch.add, losses)
        return (total, planned.passes.take_aux()) if has_aux else total

    def with_regularizer(self, regularizer: Regularizer) -> "Objective":
        """Return this objective with one more regularizer."""
        return replace(self, regularizers=(*self.regularizers, regularizer))

    def _losses(self, step: Step) -> Iterator[Tensor]:
        """Run the passes of a step, eagerly, and yield each loss as early as possible."""
        return iter(partial(_next_of, self._computed(step)), None)

    def _computed(self, step: Step) -> Iterator[Tensor]:
        clean = partial(self.differentiation.at, step, step.x, with_gradient=True)
        if step.mixer is not None:  # it draws before it asks for the clean pass
            step = step.mixed(step.mixer, clean)
        step = step.completed(clean)
        yield from map(step.examined, self.differentiation.losses(step))

    @uncompiled
    def _step(
        self,
        loss_fn: AnyLossFn,
        x: Images,
        *,
        has_aux: bool,
        streamed: bool = False,
        trains: bool = True,
        model: nn.Module | None = None,
        step: int | None = None,
        record: RecordFn | None = None,
    ) -> Step:
        """Plan a step. Random points are drawn here, before the first pass."""
        _require_arguments(loss_fn, model, record)
        require_images(x)
        freezes, mixer = self.batch_norm == "main pass", self.mixer if trains else None
        return Step(
            Passes(loss_fn, model, freezes, has_aux=has_aux, trains=trains, verify=self.verify),
            x,
            self._terms(x, step),
            mixer,
            self._space,
            record or unrecorded,
            streamed=streamed,
            counts_pixels=self.mixer is not None or any(self._radii()),
            main=MainLoss(x) if trains and self.mixer is None else None,
        )

    def _terms(self, x: Images, step: int | None) -> tuple[Term, ...]:
        weights = [r.weight_at(step) for r in self.regularizers]
        met = Counter[str]()
        terms = []
        for regularizer, weight in zip(self.regularizers, weights, strict=True):
            met[regularizer.name] += 1
            suffix = f"_{met[regularizer.name]}" if met[regularizer.name] > 1 else ""
            if weight:
                term = Term(regularizer, weight, x, suffix=suffix)
                terms.append(term.with_points(regularizer.points(x, self._space)))
        return tuple(terms)

    @property
    def _space(self) -> PixelSpace:
        return UNIT_PIXELS if self.pixels is None else self.pixels

    def _radii(self) -> Iterator[float]:
        mixed = getattr(self.mixer, "eps", None)
        if isinstance(mixed, int | float):
            yield mixed
        yield from (r.radius for r in self.regularizers if r.radius is not None)


@uncompiled
def _next_of(losses: Iterator[Tensor]) -> Tensor | None:
    return next(losses, None)


def require_objective(objective: object) -> None:
    """Raise unless it is an Objective, and not one of its regularizers."""
    if not isinstance(objective, Objective):
        raise SettingError(f"{objective!r} is no Objective; give e.g. Objective([JaFR(1e-3)]).")


def _require_arguments(loss_fn: object, model: object, record: object) -> None:
    if not callable(loss_fn):
        raise InputGradientError(f"loss_fn is a {type(loss_fn).__name__}. {LOSS_FN_USAGE}")
    if not isinstance(model, nn.Module | None):
        raise SettingError(
            f"model is a {type(model).__name__}; give the torch.nn.Module that loss_fn calls, or "
            "leave it out."
        )
    if record is not None and not callable(record):
        raise SettingError(
            f"record is a {type(record).__name__}; give a function of a name and a tensor, such as "
            "record=values.__setitem__ for a dict."
        )
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        raise InputGradientError(
            "Gradients are switched off (torch.no_grad or inference_mode), but the objective "
            "differentiates with respect to x. Call it outside, or switch gradients on: "
            "`with torch.inference_mode(False), torch.enable_grad():`, with x.clone() if x was "
            "made in inference mode."
        )


def require_images(x: Images) -> None:
    """Raise unless it is a batch of float images."""
    if not isinstance(x, Tensor):
        raise InputError(
            f"x is a {type(x).__name__}; it must be a tensor of images. Let loss_fn take only the "
            "images, and close over everything else (masks, patch sizes, targets)."
        )
    if x.ndim != 4 or not x.is_floating_point() or not x.numel():
        raise InputError(
            f"x has shape {tuple(x.shape)} and dtype {x.dtype}; it must be float images "
            "[batch, channel, height, width], at least one. Convert uint8 by images.float() / 255."
        )
    if x.is_inference():
        raise InputError(
            "x was made in torch.inference_mode, so autograd cannot use it. Give a copy that is "
            "made outside of it: objective(loss_fn, x.clone())."
        )
    if x.grad_fn is not None:
        _require_no_parameters(x)


def _require_no_parameters(x: Images) -> None:
    leaves = [tensor for tensor in map(leaf, nodes(x)) if tensor is not None]
    if any(isinstance(at, nn.Parameter) or at.ndim < 4 or len(at) < len(x) for at in leaves):
        raise InputError(
            "x was computed from parameters, which would receive no gradient from mixed images "
            "and penalties. Let loss_fn compute it, or detach it: objective(loss_fn, x.detach())."
        )
