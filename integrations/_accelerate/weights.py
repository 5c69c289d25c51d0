"""The final weights, in a file for plain torch, timm and safetensors."""

import os
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import save
from torch import nn


def save_weights(accelerator: Accelerator, model: nn.Module, path: Path) -> None:
    """Write the unwrapped model's state dict as safetensors; the file is complete or absent."""
    temporary = path.with_name(path.name + ".tmp")
    save(accelerator.get_state_dict(model), temporary, safe_serialization=True)
    if accelerator.is_main_process:
        os.replace(temporary, path)
    accelerator.wait_for_everyone()
