"""Classifiers by name, as callables on images in [0, 1], from wherever people have them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from freqreg.evaluation.inputs import timm_models, transformers_models
from freqreg.evaluation.inputs.checkpoints import (
    load_weights,
    read_checkpoint,
    read_safetensors,
    without_prefixes,
)
from freqreg.evaluation.inputs.loaded_model import CheckpointError, LoadedModel, Normalized
from freqreg.evaluation.inputs.model_config import (
    CONFIG,
    RESULTS,
    WEIGHTS,
    read_config,
    require_run,
    stated,
)
from freqreg.evaluation.inputs.networks import (
    NETWORKS,
    TIMM,
    build_network,
    sizes_from,
    use_differentiable_attention,
)

__all__ = [
    "CONFIG",
    "NETWORKS",
    "RESULTS",
    "TIMM",
    "WEIGHTS",
    "CheckpointError",
    "LoadedModel",
    "Normalized",
    "build_network",
    "load_model",
    "use_differentiable_attention",
]


def load_model(
    source: str | Path,
    *,
    model: str | None = None,
    ema: bool = False,
    device: torch.device | str = "cpu",
) -> LoadedModel:
    """A classifier on images in [0, 1], in eval mode.

    Args:
        source: "timm/NAME" for timm's pretrained weights; "hf-hub:OWNER/NAME" or
            "local-dir:FOLDER" as timm takes them; the folder of a run, with `model.safetensors`
            and `config.json`; a folder that transformers' `save_pretrained` left, image processor
            included; a checkpoint of timm's train.py; or a file with a state dict
            (.safetensors, .pth, .pt). Of a file, nothing but weights is read.
        model: the network of such a file, as `build_network` takes it; None: the one that the
            file names.
        ema: take the averaged weights of a checkpoint.
        device: where to load it.

    Raises:
        CheckpointError: there is no such model or the files are not so.
    """
    name, path = str(source), Path(source)
    if path.is_file():
        loaded = _from_file(path, model, ema=ema)
    elif model is not None or ema:
        raise CheckpointError(
            f"{name} is no file of weights: --model and --ema are for checkpoints only. Leave them "
            "out, or give the file."
        )
    elif name.startswith(timm_models.SOURCES):
        loaded = timm_models.pretrained(name)
    else:
        loaded = _from_folder(path)
    loaded.model.to(device).eval()
    return loaded


def _from_folder(folder: Path) -> LoadedModel:
    config = read_config(folder)
    if "model_type" in config or "transformers_version" in config:
        return transformers_models.from_folder(folder, config)
    if "architecture" in config:
        return timm_models.pretrained(f"{timm_models.LOCAL}{folder}")
    return _from_run(folder, config)


def _from_run(folder: Path, config: Mapping[str, Any]) -> LoadedModel:
    path = folder / CONFIG
    require_run(config, path)
    network: Any = build_network(config["model"], **config.get("kwargs", {}))
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(
            f"There is no {folder / WEIGHTS}: the run has not ended. Resume it first."
        )
    load_weights(network, read_safetensors(folder / WEIGHTS), folder / WEIGHTS)
    pixels, transform, names = stated(config, network, path)
    known = getattr(network, "pretrained_cfg", {}).get("num_classes")
    if "transform" not in config and known and known == network.num_classes:
        # of timm; with other classes it was trained anew, on images of an unknown size
        fill = {"mean": pixels[0]} if pixels else {}
        transform, _ = timm_models.transform_and_data(network, fill)
    shown = Normalized(network, *pixels) if pixels else network
    return LoadedModel(str(folder), shown, config, transform, names)


def _from_file(path: Path, model: str | None, *, ema: bool) -> LoadedModel:
    found = read_checkpoint(path, ema=ema)
    if model is None and found.arch is None:
        raise CheckpointError(
            f"{path} does not say which network it is of. Name it: --model timm/NAME, or one of "
            f"{', '.join(NETWORKS)} (in Python: load_model(path, model=...))."
        )
    own = found.arch in NETWORKS
    name = str(model or (found.arch if own else f"{TIMM}{str(found.arch).removeprefix(TIMM)}"))
    is_timm = name.startswith(TIMM)
    kwargs = timm_models.arguments(name, found.args) if is_timm else {}
    network: Any = build_network(name, **kwargs)
    state = without_prefixes(found.state, network, path)
    sizes = sizes_from(network, state)
    if not is_timm or sizes != {"num_classes": network.num_classes}:
        network = build_network(name, **(kwargs | sizes))
    load_weights(network, state, path)
    if is_timm:
        return timm_models.as_timm_shows(str(path), network, name, found.args)
    return LoadedModel(str(path), network, {"model": name})
