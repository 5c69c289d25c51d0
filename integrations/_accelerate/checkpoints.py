"""Checkpoints and final weights; each is complete or absent."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import load, save
from torch import nn

from freqreg.errors import SettingError

KEPT = 2
STATE_FILE = "trainer.bin"


@dataclass(frozen=True)
class Checkpoints:
    """The newest two checkpoints of one run: folders `step-000001000`.

    Each is written under a temporary name and then renamed. So a run killed at any moment leaves
    complete ones only, and leftovers that the next save removes.

    Args:
        folder: of this run alone.
        run: what defines a step; checkpoints of another run are refused.
    """

    folder: Path
    run: Mapping[str, int]

    def save(self, accelerator: Accelerator, step: int, state: Mapping[str, Any]) -> None:
        """Write what `accelerator` prepared, and `state`: tensors and plain values."""
        temporary = self.folder / f"step-{step:09d}.tmp"
        accelerator.save_state(str(temporary))
        save({**state, "run": dict(self.run)}, temporary / STATE_FILE)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            temporary.rename(temporary.with_suffix(""))
            for old in sorted(self.folder.glob("step-*[0-9]"))[:-KEPT]:
                shutil.rmtree(old.rename(old.with_suffix(".tmp")))
        accelerator.wait_for_everyone()

    def restore_latest(self, accelerator: Accelerator, *, resume: bool) -> dict[str, Any] | None:
        """Remove leftovers, then restore what `accelerator` prepared from the newest checkpoint.

        Returns:
            The `state` given to `save`; None without a checkpoint.

        Raises:
            FileExistsError: there is a checkpoint and `resume` is False.
            SettingError: it belongs to another run.
            RuntimeError: the states of the random generators could not be restored.
        """
        if accelerator.is_main_process:
            for leftover in self.folder.glob("step-*.tmp"):
                shutil.rmtree(leftover)
        accelerator.wait_for_everyone()
        checkpoint = max(self.folder.glob("step-*[0-9]"), default=None)
        if checkpoint is None:
            return None
        if not resume:
            raise FileExistsError(
                f"{self.folder} holds a run up to {checkpoint.name}. Continue it by "
                "resume=True (--resume on a command line), or choose another output folder."
            )
        state = load(checkpoint / STATE_FILE, map_location="cpu", weights_only=True)
        if state["run"] != self.run:
            raise SettingError(
                f"The checkpoints in {self.folder} belong to a run with {state['run']}, this run "
                f"has {self.run}: its steps differ. Resume with the same, or choose another "
                "output folder."
            )
        accelerator.load_state(str(checkpoint))
        _require_restored_rng(accelerator, checkpoint)
        return state


def _require_restored_rng(accelerator: Accelerator, checkpoint: Path) -> None:
    """Raise if the generators were not restored; accelerate only logs that."""
    saved = load(checkpoint / f"random_states_{accelerator.process_index}.pkl")
    found = [torch.get_rng_state()]
    wanted = [saved["torch_manual_seed"]]
    if accelerator.device.type == "cuda":
        found.append(torch.cuda.get_rng_state(accelerator.device))
        wanted.append(saved["torch_cuda_manual_seed"][accelerator.device.index or 0])
    if not all(map(torch.equal, found, wanted)):
        raise RuntimeError(
            f"The random states of {checkpoint} could not be restored, so the run would not "
            "continue as it began. Resume with the same number of devices and the same versions of "
            "torch, numpy and accelerate."
        )


def save_weights(accelerator: Accelerator, model: nn.Module, path: Path) -> None:
    """Write the unwrapped model's state dict as safetensors, for torch, timm and others."""
    temporary = path.with_name(f"{path.name}.tmp")
    save(accelerator.get_state_dict(model), temporary, safe_serialization=True)
    if accelerator.is_main_process:
        temporary.replace(path)
    accelerator.wait_for_everyone()
