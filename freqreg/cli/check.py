"""`freqreg check`."""

import sys
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from freqreg._allocator import KEPT, keep_freed_memory
from freqreg.diagnostics import check
from freqreg.evaluation.inputs.models import build_network, use_differentiable_attention
from freqreg.evaluation.inputs.opening import chosen_device
from freqreg.objective import Objective
from freqreg.regularizers import FourierSensitivity, JaFR, Regularizer
from freqreg.regularizers.fourier_sensitivity import Favour


@dataclass(frozen=True)
class Check:
    """Try a training step with each differentiation: what works, what it costs, what to change.

    The images are random and the weights untrained.

    freqreg check timm/resnet18

    freqreg check timm/resnet18 --lambda-fourier 0.5 --favour low

    Args:
        model: timm/NAME, or one of freqreg's own networks, such as preact_resnet18.
        lambda_freq: Weight of JaFR. Without any weight, JaFR has 0.001.
        lambda_fourier: Weight of FourierSensitivity.
        favour: The frequencies that FourierSensitivity favours.
        batch_size: Number of images in the batch.
        image_size: Height and width; None: the size that a model of timm was made for, else 32.
        fused_attention: False sets fused_attn = False in the modules of timm that have it.
        device: cpu, cuda, cuda:1, ...; None: a GPU if there is one.
        keep_freed_memory: On a CPU, let glibc keep the memory that a step frees, as the trainer
            does.
    """

    model: tyro.conf.Positional[str]
    lambda_freq: float | None = None
    lambda_fourier: float | None = None
    favour: Favour = "low"
    batch_size: int = 8
    image_size: int | None = None
    fused_attention: bool = True
    device: str | None = None
    keep_freed_memory: bool = True

    def __call__(self) -> None:
        """Print the report."""
        device = chosen_device(self.device)
        if self.keep_freed_memory and keep_freed_memory(device):
            print(KEPT, file=sys.stderr)
        model: Any = build_network(self.model, num_classes=10).to(device)
        if not self.fused_attention:
            use_differentiable_attention(model)
        channels, *size = getattr(model, "pretrained_cfg", {}).get("input_size", (3, 32, 32))
        if self.image_size:
            size = [self.image_size] * 2
        x = torch.rand(self.batch_size, channels, *size, device=device)
        y = torch.arange(self.batch_size, device=device) % 10
        print(check(model, x, y, Objective(self._regularizers())))

    def _regularizers(self) -> list[Regularizer]:
        found: list[Regularizer] = []
        if self.lambda_freq is not None:
            found.append(JaFR(self.lambda_freq))
        if self.lambda_fourier is not None:
            found.append(FourierSensitivity(self.lambda_fourier, self.favour))
        return found or [JaFR()]
