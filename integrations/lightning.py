"""Regularizers in Lightning: a callback around the module's own training_step."""

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext
from functools import partial, update_wrapper
from typing import Any

from torch import Tensor, nn

from freqreg._extras import extra
from freqreg._step.passes import is_probe
from freqreg.errors import InputError, SettingError
from freqreg.objective import Objective, require_objective
from freqreg.regularizers.base import Regularizer

with extra("lightning", "freqreg.integrations.lightning needs lightning"):
    from lightning.pytorch import Callback, LightningModule, Trainer
    from lightning.pytorch.loggers.logger import DummyLogger
    from torchmetrics import Metric, MetricCollection

_OF_ANY_MODULE = vars(nn.Module()).keys()
_ABSENT = object()


class RegularizerCallback(Callback):
    """Minimise an `Objective` around the loss of a LightningModule's `training_step`.

    >>> import lightning as L
    >>> callback = RegularizerCallback(Objective([JaFR(lambda_freq=1e-3)]))
    >>> trainer = L.Trainer(callbacks=[callback])

    The callback runs `training_step` once per pass of the objective, with other images in the
    batch. What the step logs, by the module or its loggers, and torchmetrics that it updates count
    in the main pass only. Other state may ask `freqreg.is_probe()`. The objective's records are
    logged as `freqreg/main_loss`, `freqreg/jafr`, ... The Trainer owns accumulation, precision
    and strategies.

    Args:
        objective: what training steps minimise; plain training by default. Images outside of
            [0, 1] need its `pixels`.
        images: place of the images [batch, channel, height, width] in a batch: an index of a
            tuple or list, or a key of a dict.
    """

    def __init__(self, objective: Objective | None = None, *, images: int | str = 0) -> None:
        if objective is not None:
            require_objective(objective)
        self.objective = objective or Objective()
        self.images = images
        self._give_back: Callable[[], object] = _nothing
        self._is_trained = False

    def add_regularizer(self, regularizer: Regularizer) -> "RegularizerCallback":
        """Minimise `regularizer` as well from the next step on."""
        self.objective = self.objective.with_regularizer(regularizer)
        return self

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the objective around `training_step`, before a Tuner's callbacks try it.

        Raises:
            SettingError: there is a second such callback.
        """
        if stage == "fit":
            _require_one_callback(trainer)
            attributes = vars(pl_module)
            own = {"training_step": attributes.get("training_step", _ABSENT)}
            attributes["training_step"] = _RegularizedStep(self, trainer, pl_module)
            self._give_back = partial(_restore, attributes, own)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: object
    ) -> None:
        """Check that the backward pass went through the objective.

        Raises:
            SettingError: another `training_step` has taken its place.
        """
        objective, is_trained = self.objective, self._is_trained
        self._is_trained = False
        if not is_trained and (objective.regularizers or objective.mixer is not None):
            raise SettingError(
                f"{type(pl_module).__name__} computed the step without the objective: its "
                "training_step was replaced after the fit began. Choose between steps within one "
                "training_step, which RegularizerCallback surrounds."
            )

    def note_backward(self, _: Tensor) -> None:
        """Note that the objective is trained; a hook of its loss."""
        self._is_trained = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the module's own `training_step`."""
        give_back, self._give_back = self._give_back, _nothing
        give_back()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore it after an error too."""
        self.teardown(trainer, pl_module, "fit")


class _RegularizedStep:
    """A `training_step` around the module's own; its copies and pickles are the module's own."""

    def __init__(
        self, callback: RegularizerCallback, trainer: Trainer, module: LightningModule
    ) -> None:
        self._callback, self._trainer, self._module = callback, trainer, module
        self._own: Callable[..., Any] = module.training_step
        # Lightning looks there for the arguments
        update_wrapper(self, getattr(self._own, "__wrapped__", self._own))

    def __reduce__(self) -> tuple[Any, ...]:
        return copy.copy, (self._own,)

    def __call__(self, batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the result of the module's own step, with the objective as the loss."""
        _require_automatic(self._module)
        objective, place = self._callback.objective, self._callback.images

        def loss_fn(images: Tensor) -> tuple[Tensor, Any]:
            replaced = _replaced(batch, place, images)
            quiet = _without_trace(self._trainer, self._module) if is_probe() else nullcontext()
            with quiet:
                result = self._own(replaced, *args, **kwargs)
            return _loss(result), result

        loss, result = objective(
            loss_fn,
            _images(batch, place),
            has_aux=True,
            model=self._module,
            step=self._trainer.global_step,
            record=lambda name, value: self._module.log(f"freqreg/{name}", value),
        )
        loss.register_hook(self._callback.note_backward)
        return _replaced(result, "loss", loss) if isinstance(result, Mapping) else loss


class _Unwritten:
    """A logger with another's values, whose calls have no effect."""

    def __init__(self, logger: object) -> None:
        self._logger = logger

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._logger)

    def __getattr__(self, name: str) -> Any:
        if name == "experiment":
            return DummyLogger().experiment
        value = getattr(self._logger, name)
        return _nothing if callable(value) else value


def _require_one_callback(trainer: Trainer) -> None:
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    found = [callback for callback in callbacks if isinstance(callback, RegularizerCallback)]
    if len(found) > 1:
        objectives = ", ".join(str(callback.objective) for callback in found)
        raise SettingError(
            f"The Trainer has {len(found)} RegularizerCallbacks, which would wrap each other: "
            f"{objectives}. Keep one, and add the regularizers of the others to it: "
            "callback.add_regularizer(...)."
        )


def _require_automatic(module: LightningModule) -> None:
    if not module.automatic_optimization:
        raise SettingError(
            f"{type(module).__name__} has automatic_optimization = False, so its loss "
            "never passes through the Trainer. Without this callback, let its training_step "
            "minimise objective(loss_fn, images)."
        )


@contextmanager
def _without_trace(trainer: Trainer, module: LightningModule) -> Iterator[None]:
    """Log nothing in this context, and let metrics work on copies of their states."""
    loggers, copies = trainer.loggers, dict[int, Tensor]()
    before: list[tuple[dict[str, Any], dict[str, Any]]] = []
    trainer.loggers = [_Unwritten(logger) for logger in loggers]  # pyright: ignore[reportAttributeAccessIssue]
    for part in module.modules():
        if hasattr(part, "log_dict"):  # a LightningModule, of pytorch_lightning or of lightning
            meanwhile: dict[str, Any] = {"log": _nothing, "log_dict": _nothing}
        elif isinstance(part, Metric | MetricCollection):
            states = vars(part).keys() - _OF_ANY_MODULE
            meanwhile = {name: _copied(vars(part)[name], copies) for name in states}
        else:
            continue
        before.append((vars(part), {name: vars(part).get(name, _ABSENT) for name in meanwhile}))
        vars(part).update(meanwhile)
    try:
        yield
    finally:
        trainer.loggers = loggers
        for attributes, own in before:
            _restore(attributes, own)


def _copied(value: Any, copies: dict[int, Tensor]) -> Any:
    """Copy a state, so that it may be changed; tensors that metrics share stay shared."""
    if isinstance(value, Tensor):
        return copies.setdefault(id(value), value.detach().clone())
    if not isinstance(value, dict | list):
        return value
    copied: Any = copy.copy(value)
    if isinstance(value, dict):
        copied.update({key: _copied(held, copies) for key, held in value.items()})
    return copied


def _restore(attributes: dict[str, Any], own: dict[str, Any]) -> None:
    attributes.update(own)
    for name in [name for name, value in own.items() if value is _ABSENT]:
        del attributes[name]


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _images(batch: Any, place: int | str) -> Tensor:
    try:
        images = batch[place]
    except (KeyError, IndexError, TypeError):
        images = None
    if isinstance(images, Tensor) and not isinstance(batch, Tensor):
        return images
    raise InputError(
        f"The batch, a {type(batch).__name__}, has no tensor of images at {place!r}. It must be "
        'a tuple, list or dict; say where: RegularizerCallback(objective, images="pixel_values").'
    )


def _replaced(batch: Any, place: int | str, value: Tensor) -> Any:
    """Return a batch of the same type with another value at this place; both may be changed."""
    if isinstance(batch, MutableMapping | list):
        changed: Any = copy.copy(batch)
        for name, held in getattr(changed, "__dict__", {}).items():
            if isinstance(held, dict):
                vars(changed)[name] = held.copy()
        changed[place] = value
        return changed
    if isinstance(batch, Mapping):
        return type(batch)({**batch, place: value})  # pyright: ignore[reportCallIssue]
    rows = [*batch]
    rows[int(place)] = value
    return type(batch)(*rows) if hasattr(batch, "_fields") else type(batch)(rows)


def _loss(result: Any) -> Tensor:
    loss = result.get("loss") if isinstance(result, Mapping) else result
    if isinstance(loss, Tensor):
        return loss
    raise SettingError(
        f"training_step returned {type(result).__name__} without a loss, so there is nothing to "
        'regularize. Return the loss, or {"loss": loss}, for each batch.'
    )
