"""Parts of a training task, changed during a step: its criterion, and a teacher."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.task import DistillationTeacher, TrainingTask
from torch import Tensor, nn

from freqreg.objective import Objective

Criterion = Callable[[Tensor, Tensor], Tensor]

_KNOWN = (
    *(nn.CrossEntropyLoss, LabelSmoothingCrossEntropy),
    *(SoftTargetCrossEntropy, BinaryCrossEntropy),
)


@contextmanager
def losses_of_images(task: TrainingTask, objective: Objective) -> Iterator[None]:
    """Let the task's criterion return one loss per image in this context, if these are needed.

    Their mean is the criterion's own loss. Unknown criteria stay as they are: subclasses, those
    that ignore labels, whose mean is of fewer images, and those of distillation, whose other loss
    is a mean of the batch.
    """
    distils = isinstance(getattr(task, "teacher", None), DistillationTeacher)
    known = None if distils else _per_image(getattr(task, "criterion", None))
    if known is None or all(r.needs == "gradients" for r in objective.regularizers):
        yield
        return
    vars(task)["criterion"] = known  # found before the module of that name
    try:
        yield
    finally:
        del vars(task)["criterion"]


def _per_image(criterion: Any) -> Criterion | None:
    if type(criterion) not in _KNOWN:
        return None
    match criterion:
        case nn.CrossEntropyLoss(reduction="mean", weight=None, ignore_index=-100):  # the default
            return nn.CrossEntropyLoss(label_smoothing=criterion.label_smoothing, reduction="none")
        case LabelSmoothingCrossEntropy():
            return nn.CrossEntropyLoss(label_smoothing=criterion.smoothing, reduction="none")
        case SoftTargetCrossEntropy():
            return nn.CrossEntropyLoss(reduction="none")
        case BinaryCrossEntropy(reduction="mean", sum_classes=False):
            of_classes = copy.copy(criterion)
            of_classes.reduction = "none"
            return lambda output, target: of_classes(output, target).mean(1)
        case _:
            return None


@contextmanager
def answering_once(task: TrainingTask, images: Tensor) -> Iterator[None]:
    """Let the task's teacher, if any, answer once in this context, at `images`.

    At moved images its answers would move too. Finite differences would count this as a
    dependence of the loss; backpropagation, stopped by no_grad, would not.
    """
    teacher = getattr(task, "teacher", None)
    if not isinstance(teacher, DistillationTeacher):
        yield
        return
    normalize_input, forward = teacher.normalize_input, teacher.forward
    answers: dict[bool, Tensor] = {}

    def normalize_clean(_: Tensor, *statistics: Tensor) -> Tensor:
        return normalize_input(images, *statistics)

    def answer(clean: Tensor, return_features: bool = False) -> Tensor:
        if return_features not in answers:
            answers[return_features] = forward(clean, return_features)
        return answers[return_features]

    vars(teacher).update(normalize_input=normalize_clean, forward=answer)
    try:
        yield
    finally:
        del vars(teacher)["normalize_input"], vars(teacher)["forward"]
