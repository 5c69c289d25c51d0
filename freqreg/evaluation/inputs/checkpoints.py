"""Weights from files: plain state dicts, or what training scripts wrap around them."""

import argparse
import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from freqreg.evaluation.inputs.loaded_model import CheckpointError

WEIGHTS = ("state_dict", "model_state_dict", "model", "net", "network")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")

logger = logging.getLogger(__name__)

State = Mapping[str, Tensor]


class Checkpoint(NamedTuple):
    """Weights as stored, with any prefixes, and what the file says about their network."""

    state: State
    arch: str | None  # the training script's name of the network
    args: Mapping[str, Any]  # options of timm's train.py


def read_checkpoint(path: Path, *, ema: bool = False) -> Checkpoint:
    """Read a .safetensors file, or a file of `torch.save`, without running code from it.

    `ema` takes the averaged weights that timm's train.py stores beside the trained ones.

    Raises:
        CheckpointError: the file holds no such weights, or is incomplete.
    """
    is_safe = path.suffix == ".safetensors"
    content: Any = read_safetensors(path) if is_safe else _unpickled(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not weights by name. Save a state dict: "
            "torch.save(model.state_dict(), path)."
        )
    trained, averaged = (
        next((content[n] for n in names if _is_state(content.get(n))), None)
        for names in (WEIGHTS, AVERAGED)
    )
    state = averaged if ema else trained or (content if _is_state(content) else None)
    if state is None:
        what, key = ("averaged (EMA) weights", AVERAGED[0]) if ema else ("weights", WEIGHTS[0])
        mend = f'Give a file with a state dict, alone or under "{key}".'
        if averaged:
            mend = "Take the averaged weights that it holds: --ema (in Python: ema=True)."
        elif any(isinstance(value, Tensor) for value in content.values()):
            mend = "Take out what is no tensor, or save weights alone: model.state_dict()."
        raise CheckpointError(f"{path} has no {what}: it holds {_kinds(content)}. {mend}")
    if averaged and not ema:
        logger.warning(f"{path}: the trained weights are used; --ema takes the averaged ones.")
    arch, args = content.get("arch"), content.get("args")
    options = vars(args) if isinstance(args, argparse.Namespace) else args
    is_named = isinstance(options, Mapping)
    return Checkpoint(state, arch if isinstance(arch, str) else None, options if is_named else {})


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file; raise a CheckpointError if it is incomplete or of another kind."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) is not whole, or no safetensors file: {error}. "
            "Copy it again."
        ) from error


def load_weights(network: nn.Module, state: State, path: Path) -> None:
    """Load weights into a network; raise a CheckpointError if names or shapes differ."""
    state, own = without_prefixes(state, network, path), network.state_dict()
    counts = {name for name in own if name.endswith("num_batches_tracked")}
    problems = {
        "missing": own.keys() - state.keys() - counts,
        "unknown": state.keys() - own.keys(),
        "of integers or complex numbers": {
            name
            for name in own.keys() & state
            if own[name].is_floating_point() and not state[name].is_floating_point()
        },
        "sparse or without values": {
            name
            for name in own.keys() & state
            if state[name].is_meta or state[name].layout != torch.strided
        },
        "of another shape": {n for n in own.keys() & state if own[n].shape != state[n].shape},
    }
    found = [
        f"{len(names)} {what}, such as {min(names)}" for what, names in problems.items() if names
    ]
    if found:
        if name := min(problems["of another shape"], default=None):
            found[-1] += f" {list(state[name].shape)} instead of {list(own[name].shape)}"
        raise CheckpointError(
            f"{path} does not fit the network {type(network).__name__} ({'; '.join(found)}). Name "
            "the network that these weights were trained with, and its arguments, or take out "
            "what is of no network, such as the weights of a loss."
        )
    network.load_state_dict(state, strict=False)


def without_prefixes(state: State, network: nn.Module, path: Path) -> dict[str, Tensor]:
    """Return the weights under the network's own names, and log the prefix removed.

    DDP, averages, torch.compile and training modules add prefixes. One is removed where most of
    the network's names stand behind it, and none without it.

    Raises:
        CheckpointError: several prefixes stand before as many of these names.
    """
    own = network.state_dict().keys()
    found = {name.replace("._orig_mod.", "."): tensor for name, tensor in state.items()}
    taken = ["_orig_mod."] if found.keys() != state.keys() else []
    found.pop("n_averaged", None)  # of torch's AveragedModel
    ends = ((name, name[dot.end() :]) for name in found for dot in re.finditer(r"\.", name))
    behind = Counter(name.removesuffix(end) for name, end in ends if end in own)
    prefix, most = next(iter(behind.most_common(1)), ("", 0))
    if not own & found.keys() and 2 * most > len(own):
        if len(alike := [name for name, count in behind.items() if count == most]) > 1:
            raise CheckpointError(
                f"{path} holds weights of the network {type(network).__name__} behind each of "
                f"{', '.join(alike)}. Save those that are meant alone: "
                "torch.save(model.state_dict(), path)."
            )
        taken.append(prefix)
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    if taken:
        logger.warning(f"{path}: {' and '.join(taken)} was taken off the weights' names.")
    return found


def _unpickled(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # its type depends on where the file ends
        text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        reason = re.sub(r"\x1b\[[\d;]*m", "", text).partition(". ")[0].rstrip(".")
        raise CheckpointError(
            f"{path} cannot be read as weights alone ({reason}). It may be cut off, or hold "
            "pickled objects such as a whole model, which are never run here. Save the weights "
            "where you trust the file: torch.save(model.state_dict(), path)."
        ) from error


def _is_state(value: Any) -> bool:
    pairs = value.items() if isinstance(value, Mapping) else ()
    return bool(pairs) and all(isinstance(n, str) and isinstance(t, Tensor) for n, t in pairs)


def _kinds(content: Mapping[Any, Any]) -> str:
    """Name a few entries, first those that are no tensors."""
    keys = sorted(content, key=lambda key: isinstance(content[key], Tensor))
    return ", ".join(map(str, keys[:8])) or "nothing"
