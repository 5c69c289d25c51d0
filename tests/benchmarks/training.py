"""A network and a batch on which candidates train; what a step of theirs computes and keeps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from freqreg.diagnostics.measures import peak_bytes
from freqreg.input_gradients import LossFn
from tests.benchmarks.candidates import Candidate
from tests.benchmarks.networks import CLASSES

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS = ("fp32", "tf32", "bf16")
"""Of products on a GPU: as they are, with factors of 10 bits, or all that autocast takes to."""

FEW = 4
"""Images that operations are counted with: their ratios do not depend on the batch size."""

ALL = slice(None)

_ON_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_ON_CPU_BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad, query, key, value)


UNCOUNTED = {_ON_CPU: _attention, _ON_CPU_BACKWARD: _attention_backward}
"""What the FLOP counter knows on GPUs only: fused attention."""


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Whether a GPU may take factors of float32 products as TF32."""
    kinds: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [kind.allow_tf32 for kind in kinds]
    for kind in kinds:
        kind.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for kind, allowed in zip(kinds, before, strict=True):
            kind.allow_tf32 = allowed


@dataclass(frozen=True)
class Training:
    """A model in training mode, its optimizer and a batch of random images."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    x: Tensor
    y: Tensor
    precision: str = "fp32"
    leafless: bool = False
    """Whether the model is given copies of leaves: the FLOP counter takes no leaves."""

    @classmethod
    def of(
        cls,
        build: Callable[[], nn.Module],
        *,
        batch_size: int,
        image_size: int,
        memory_format: str = "contiguous",
        precision: str = "fp32",
    ) -> "Training":
        """With the same weights and images each time, on a GPU if there is one."""
        torch.manual_seed(0)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        form = FORMATS[memory_format]
        model = build().train().to(device=device, memory_format=form)  # pyright: ignore[reportCallIssue]
        x = torch.rand(batch_size, 3, image_size, image_size)
        y = torch.randint(CLASSES, (batch_size,))
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
        x, y = x.to(device, memory_format=form), y.to(device)
        return cls(model, optimizer, x, y, precision)

    def compiled(self) -> "Training":
        """The same, of the compiled model."""
        return replace(self, model=torch.compile(self.model))

    def loss_fn(self, rows: slice = ALL, *, of_images: bool = False) -> LossFn:
        """The mean loss of some of the images, or of the first of these; or each of theirs."""
        reduction = "none" if of_images else "mean"

        def loss(images: Tensor) -> Tensor:
            given = images.clone() if self.leafless else images
            with torch.autocast(images.device.type, torch.bfloat16, self.precision == "bf16"):
                targets = self.y[rows][: len(images)]
                return F.cross_entropy(self.model(given), targets, reduction=reduction)

        return loss

    def backward(self, candidate: Candidate, step: int = 0) -> None:
        """Gradients of one step."""
        loss_fn = self.loss_fn(of_images=candidate.of_images)
        for loss in candidate.losses(loss_fn, self.x, step):
            loss.backward()

    def run(self, candidate: Candidate) -> None:
        """All of the candidate's training steps."""
        for step in range(candidate.steps):
            self.backward(candidate, step)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def flops(self, backward: "Callable[[Training], None]") -> int:
        """Of what computes the gradients, on a few images."""
        few = replace(self, x=self.x[:FEW], y=self.y[:FEW], leafless=True)
        with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
            backward(few)
        self.optimizer.zero_grad()
        return counter.get_total_flops()

    def standing_bytes(self) -> int:
        """Of what lives throughout a step: parameters and their momentum, buffers, images."""
        parameters = list(self.model.parameters())
        standing = [*parameters, *parameters, *self.model.buffers(), self.x, self.y]
        return sum(tensor.numel() * tensor.element_size() for tensor in standing)

    def peak_bytes(self, backward: "Callable[[Training], None]") -> int:
        """Of what computes the gradients, without what stands."""
        peak = peak_bytes(lambda: backward(self), self.x.device)
        self.optimizer.zero_grad()
        return peak
