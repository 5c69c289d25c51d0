"""Weights out of files: plain state dicts, and what training scripts wrap around them."""

import argparse
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from freqreg.evaluation.inputs.loaded_model import CheckpointError

WEIGHTS = ("state_dict", "model_state_dict", "model", "net", "network")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
PREFIXES = ("module.", "_orig_mod.", "ema.", "model.", "network.")
"""Of wrappers: DDP and timm's averages, torch.compile, training modules."""

logger = logging.getLogger(__name__)

State = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights, and what the file says of their network.

    Args:
        state: as stored, with any prefixes.
        arch: what the training script calls the network, where it says so.
        args: the options of timm's train.py, where they are there.
    """

    state: State
    arch: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path, *, ema: bool = False) -> Checkpoint:
    """What a .safetensors file holds, or one that `torch.save` wrote.

    Args:
        path: of the file. Nothing in it is run.
        ema: take the averaged weights that timm's train.py keeps beside the trained ones.

    Raises:
        CheckpointError: it holds no such weights, or it is not whole.
    """
    is_safe = path.suffix == ".safetensors"
    content: Any = read_safetensors(path) if is_safe else _unpickled(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not weights by name.")
    trained, averaged = (
        next((content[n] for n in names if _is_state(content.get(n))), None)
        for names in (WEIGHTS, AVERAGED)
    )
    state = averaged if ema else trained or (content if _is_state(content) else None)
    if state is None:
        what, key = ("averaged (EMA) weights", AVERAGED[0]) if ema else ("weights", WEIGHTS[0])
        raise CheckpointError(
            f"{path} has no {what}: it holds {', '.join(map(str, list(content)[:8]))}. Needed is a "
            f'state dict, alone or under "{key}".'
        )
    if averaged and not ema:
        logger.warning(f"{path}: the trained weights are taken; --ema takes the averaged ones.")
    arch, args = content.get("arch"), content.get("args")
    options = vars(args) if isinstance(args, argparse.Namespace) else {}
    return Checkpoint(state, arch if isinstance(arch, str) else None, options)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file.

    Raises:
        CheckpointError: it is no such file, or not whole.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) is not whole, or no safetensors file: {error}."
        ) from error


def load_weights(network: nn.Module, state: State, path: Path) -> None:
    """Put weights into the network for which they were trained.

    Raises:
        CheckpointError: some are missing, unknown, or of another shape.
    """
    state, own = without_prefixes(state, network, path), network.state_dict()
    counts = {name for name in own if name.endswith("num_batches_tracked")}
    problems = {
        "missing": own.keys() - state.keys() - counts,
        "unknown": state.keys() - own.keys(),
        "of another shape": {n for n in own.keys() & state if own[n].shape != state[n].shape},
    }
    if any(problems.values()):
        told = "; ".join(
            f"{len(names)} {what}, such as {min(names)}"
            for what, names in problems.items()
            if names
        )
        if name := min(problems["of another shape"], default=None):
            told += f" {list(state[name].shape)} instead of {list(own[name].shape)}"
        raise CheckpointError(
            f"{path} does not fit the network {type(network).__name__} that it was said to be of "
            f"({told}). Name the network, and its arguments, that it was trained with."
        )
    network.load_state_dict(state, strict=False)


def without_prefixes(state: State, network: nn.Module, path: Path) -> dict[str, Tensor]:
    """The weights by the names that the network has for them; what was taken off is logged."""
    own = network.state_dict().keys()
    found = {name.replace("._orig_mod.", "."): tensor for name, tensor in state.items()}
    taken = ["_orig_mod."] if found.keys() != state.keys() else []
    found.pop("n_averaged", None)  # of torch's AveragedModel
    while not own & found.keys():
        prefix = next((p for p in PREFIXES if all(n.startswith(p) for n in found)), None)
        if prefix is None or not found:
            break
        taken.append(prefix)
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    if taken:
        logger.warning(f"{path}: {' and '.join(taken)} was taken off the weights' names.")
    return found


def _unpickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, by where the file ends
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} cannot be read as weights alone ({reason}). It may be cut off, or hold "
            "pickled objects such as a whole model, which are never run here. Save the weights "
            "where you trust the file: torch.save(model.state_dict(), path)."
        ) from error


def _is_state(value: Any) -> bool:
    values = value.values() if isinstance(value, Mapping) else ()
    return bool(values) and all(isinstance(tensor, Tensor) for tensor in values)
