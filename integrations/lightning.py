"""Regularizers in Lightning: a callback around the module's own training_step."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor

from freqreg._extras import extra
from freqreg._step.passes import is_probe
from freqreg.errors import InputError, SettingError
from freqreg.objective import Objective, require_objective
from freqreg.regularizers.base import Regularizer

with extra("lightning", "freqreg.integrations.lightning needs lightning"):
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torchmetrics import Metric, MetricCollection

TrainingStep = Callable[..., Any]


class RegularizerCallback(Callback):
    """Minimise an `Objective` around the loss of a LightningModule's `training_step`.

    >>> import lightning as L
    >>> callback = RegularizerCallback(Objective([JaFR(lambda_freq=1e-3)]))
    >>> trainer = L.Trainer(callbacks=[callback])

    `training_step` is run once for each pass of the objective, with other images in its batch.
    What it logs, and metrics of torchmetrics that it updates, count in the main pass only. What
    the objective records (`main_loss`, `jafr`, `log_b_low`, ...) is logged. Accumulation,
    precision and strategies are the Trainer's.

    Args:
        objective: what training steps minimise; plain training by default. Images that are not
            in [0, 1] need its `pixels`.
        images: where a batch has its images [batch, channel, height, width]: an index of a
            tuple or list, or a key of a dict.
    """

    def __init__(self, objective: Objective | None = None, *, images: int | str = 0) -> None:
        if objective is not None:
            require_objective(objective)
        self.objective = objective or Objective()
        self.images = images
        self._give_back: Callable[[], object] = _nothing

    def add_regularizer(self, regularizer: Regularizer) -> "RegularizerCallback":
        """Minimise `regularizer` as well from the next step on."""
        self.objective = self.objective.with_regularizer(regularizer)
        return self

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the objective around `training_step`.

        Raises:
            SettingError: the module optimizes by itself, or there is a second such callback.
        """
        _require_one_callback(trainer)
        if not pl_module.automatic_optimization:
            raise SettingError(
                f"{type(pl_module).__name__} has automatic_optimization = False, so its loss "
                "never passes through the Trainer. Without this callback, let its training_step "
                "minimise objective(loss_fn, images)."
            )
        attributes = vars(pl_module)
        own = attributes.get("training_step")
        attributes["training_step"] = self._regularized(trainer, pl_module, pl_module.training_step)
        self._give_back = partial(_restore, attributes, "training_step", own)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the module its own `training_step` back."""
        give_back, self._give_back = self._give_back, _nothing
        give_back()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """The same where training breaks off."""
        self.on_fit_end(trainer, pl_module)

    def _regularized(
        self, trainer: Trainer, module: LightningModule, own: TrainingStep
    ) -> TrainingStep:
        @wraps(getattr(own, "__wrapped__", own))  # Lightning looks there for the arguments
        def training_step(batch: Any, *args: Any, **kwargs: Any) -> Any:
            results: list[Any] = []

            def loss_fn(images: Tensor) -> Tensor:
                replaced = _replaced(batch, self.images, images)
                if is_probe():
                    with _unheard(module):
                        return _loss(own(replaced, *args, **kwargs))
                results.append(own(replaced, *args, **kwargs))
                return _loss(results[-1])

            loss = self.objective(
                loss_fn,
                _images(batch, self.images),
                model=module,
                step=trainer.global_step,
                record=module.log,
            )
            (result,) = results
            return {**result, "loss": loss} if isinstance(result, Mapping) else loss

        return training_step


def _require_one_callback(trainer: Trainer) -> None:
    callbacks: list[Callback] = trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
    found = [callback for callback in callbacks if isinstance(callback, RegularizerCallback)]
    if len(found) > 1:
        objectives = ", ".join(str(callback.objective) for callback in found)
        raise SettingError(
            f"The Trainer has {len(found)} RegularizerCallbacks, each around the other: "
            f"{objectives}. Keep one, and add the regularizers of the others to it: "
            "callback.add_regularizer(...)."
        )


@contextmanager
def _unheard(module: LightningModule) -> Iterator[None]:
    """What the module logs and measures meanwhile is dropped.

    A collection's `update` also groups metrics whose states agree, as those of muted ones would;
    its `forward` only gathers what they answer.
    """
    muted = [(vars(module), name) for name in ("log", "log_dict")]
    for part in module.modules():
        names = ("update",) if isinstance(part, MetricCollection) else ("forward", "update")
        if isinstance(part, Metric | MetricCollection):
            muted += [(vars(part), name) for name in names]
    own = [attributes.get(name) for attributes, name in muted]
    for attributes, name in muted:
        attributes[name] = _nothing
    try:
        yield
    finally:
        for (attributes, name), method in zip(muted, own, strict=True):
            _restore(attributes, name, method)


def _restore(attributes: dict[str, Any], name: str, own: Any) -> None:
    if own is None:
        del attributes[name]
    else:
        attributes[name] = own


def _nothing(*_: Any, **__: Any) -> Tensor:
    return torch.zeros(())


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


def _replaced(batch: Any, place: int | str, images: Tensor) -> Any:
    """The batch with other images, of the same kind."""
    if isinstance(batch, Mapping):
        return {**batch, place: images}
    rows = [*batch]
    rows[int(place)] = images
    if isinstance(batch, tuple):
        return type(batch)(*rows) if hasattr(batch, "_fields") else tuple(rows)
    return rows


def _loss(result: Any) -> Tensor:
    loss = result.get("loss") if isinstance(result, Mapping) else result
    if isinstance(loss, Tensor):
        return loss
    raise SettingError(
        f"training_step returned {type(result).__name__} without a loss, so there is nothing to "
        'regularize. Return the loss, or {"loss": loss}, for each batch.'
    )
