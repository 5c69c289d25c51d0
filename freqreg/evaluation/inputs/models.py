"""Classifiers by name, as callables on images in [0, 1]: checkpoints of runs, and timm's."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from freqreg.errors import FreqregError
from freqreg.evaluation.inputs.transforms import EvalTransform
from freqreg.networks import OneConvNet, PreActResNet18

TIMM = "timm/"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
RESULTS = "results.json"
"""What a recipe leaves beside a model."""

NETWORKS = {"preact_resnet18": PreActResNet18, "one_conv": OneConvNet}


class CheckpointError(FreqregError, ValueError):
    """A model cannot be loaded: no such name, or files that are missing or do not fit."""


class Normalized(nn.Module):
    """A model that takes images in [0, 1] and normalises them for the one inside.

    The convention of RobustBench and torchattacks, and of everything in `freqreg.evaluation`.

    Args:
        model: takes `(images - mean) / std`.
        mean: per channel, or one for all.
        std: per channel, or one for all.
    """

    def __init__(
        self, model: nn.Module, mean: float | Sequence[float], std: float | Sequence[float]
    ) -> None:
        super().__init__()
        self.model = model
        self.mean = nn.Buffer(torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.std = nn.Buffer(torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of images in [0, 1]."""
        return self.model((x - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A classifier and what is known of it.

    Args:
        source: what it was loaded by.
        model: maps floats in [0, 1] to logits; in eval mode.
        config: the run's config.json; for timm's models the name alone.
        transform: how it is shown pictures, where known.
        class_names: of its logits, in order, where known.
    """

    source: str
    model: nn.Module
    config: Mapping[str, Any]
    transform: EvalTransform | None = None
    class_names: tuple[str, ...] | None = None

    @property
    def method(self) -> str:
        """How it was trained: the config's "method", else the source."""
        return str(self.config.get("method", self.source))

    @property
    def seed(self) -> int | None:
        """The seed of its training, where the config has one."""
        return self.config.get("seed")


def load_model(source: str | Path, *, device: torch.device | str = "cpu") -> LoadedModel:
    """A classifier on images in [0, 1], in eval mode.

    Args:
        source: "timm/NAME" for timm's pretrained weights, or the folder of a run with
            `model.safetensors` and `config.json`. The latter says which network and, if it takes
            normalised images, how: {"model": "preact_resnet18", "kwargs": {"num_classes": 10},
            "pixels": {"mean": [...], "std": [...]}, "method": "fgsm+jafr", "seed": 0}, where
            "model" may be "timm/NAME" and the last three are optional.
        device: where to load it.

    Raises:
        CheckpointError: there is no such model or the files are not so.
    """
    name = str(source)
    loaded = _pretrained(name) if name.startswith(TIMM) else _run(Path(source))
    loaded.model.to(device).eval()
    return loaded


def build_network(name: str, **kwargs: Any) -> nn.Module:
    """A network with fresh weights.

    Args:
        name: one of `NETWORKS`, or "timm/NAME".
        kwargs: of its constructor, or of `timm.create_model`.

    Raises:
        CheckpointError: no such network.
    """
    if name.startswith(TIMM):
        return _timm_model(name, **kwargs)
    if name not in NETWORKS:
        known = ", ".join((*NETWORKS, f"{TIMM}NAME"))
        raise CheckpointError(f"There is no network {name!r}; known are {known}.")
    return NETWORKS[name](**kwargs)


def use_differentiable_attention(model: nn.Module) -> None:
    """Let a network of timm compute attention by operations that have a second derivative."""
    for module in model.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False  # pyright: ignore[reportArgumentType]


def _run(folder: Path) -> LoadedModel:
    config = _config(folder)
    model = build_network(config["model"], **config.get("kwargs", {}))
    _load_weights(model, folder / WEIGHTS)
    pixels = config.get("pixels") or {}
    if "mean" in pixels or "std" in pixels:
        model = Normalized(model, pixels.get("mean", 0.0), pixels.get("std", 1.0))
    return LoadedModel(str(folder), model, config)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        found = ", ".join(sorted(p.name for p in folder.glob("*"))[:8]) or "nothing"
        raise CheckpointError(
            f"There is no {path} (found: {found}). Give the folder of a run, with {CONFIG} and "
            f"{WEIGHTS}, or {TIMM}NAME for a model of timm."
        )
    try:
        config = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is no JSON: {error}. Was the run stopped early?") from error
    if not isinstance(config, dict) or "model" not in config:
        raise CheckpointError(f'{path} does not say which network it is: "model" is missing.')
    return config


def _load_weights(model: nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"There is no {path}: the run has not ended. Resume it first.")
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) does not fit the network that {CONFIG} names, "
            f"or is not whole: {error}"
        ) from error


def _pretrained(name: str) -> LoadedModel:
    try:
        model = _timm_model(name, pretrained=True)
    except OSError as error:
        raise CheckpointError(
            f"The weights of {name} cannot be fetched: {error}. Connect to the network once, or "
            "point HF_HOME to a cache that has them."
        ) from error
    config: Any = model.pretrained_cfg
    normalized = Normalized(model, config["mean"], config["std"])
    transform = EvalTransform(tuple(config["input_size"][-2:]), config["crop_pct"])
    return LoadedModel(name, normalized, {"model": name}, transform)


def _timm_model(name: str, **kwargs: Any) -> Any:
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f'{name} needs timm ({error}). Install it with: pip install "freqreg[timm]"'
        ) from error
    bare = name.removeprefix(TIMM)
    if not timm.is_model(bare):
        close = difflib.get_close_matches(bare, timm.list_models(), n=5)
        near = close or timm.list_models(f"*{bare}*")[:5] or ["see timm.list_models()"]
        raise CheckpointError(f"timm has no model {bare!r}. Close to it: {', '.join(near)}.")
    return timm.create_model(bare, **kwargs)
