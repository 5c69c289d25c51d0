"""Teachers of distillation tasks, which answer once, at the clean images, as labels do."""

from collections.abc import Iterator
from contextlib import contextmanager

from timm.task import DistillationTeacher, TrainingTask
from torch import Tensor


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
