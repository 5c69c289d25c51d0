"""`load_model`: classifiers on images in [0, 1] from any source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from freqreg.evaluation.inputs import checkpoints, model_config, timm_models, transformers_models
from freqreg.evaluation.inputs.loaded_model import CheckpointError, LoadedModel, Normalized
from freqreg.evaluation.inputs.model_config import CONFIG, RESULTS, WEIGHTS
from freqreg.evaluation.inputs.networks import (
    NETWORKS,
    TIMM,
    build_network,
    sizes_from,
    use_differentiable_attention,
)
from freqreg.evaluation.inputs.normalisation import normalized

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
    """Load a classifier on images in [0, 1], in eval mode.

    Args:
        source: "timm/NAME" for timm's pretrained weights; "hf-hub:OWNER/NAME" or
            "local-dir:FOLDER" as in timm; the folder of a run, with `model.safetensors` and
            `config.json`; a folder of transformers' `save_pretrained`, image processor included; a
            checkpoint of timm's train.py; or a file with a state dict (.safetensors, .pth, .pt).
            Only weights are read from a file.
        model: the network of such a file, as in `build_network`; None: the one that the file
            names.
        ema: take the averaged weights of a checkpoint.
        device: where to load it.

    Raises:
        CheckpointError: there is no such model, or its files are invalid.
    """
    name, path = str(source), Path(source).expanduser()
    if path.is_file():
        loaded = _from_file(path, model, ema=ema)
    elif model is not None or ema:
        raise CheckpointError(
            f"{name} is {'a folder' if path.is_dir() else 'missing'}, not a file of weights, and "
            "--model and --ema are for files of weights only. Check the path, or leave them out."
        )
    elif name.startswith(timm_models.SOURCES):
        loaded = timm_models.pretrained(name)
    else:
        loaded = _from_folder(path)
    loaded.model.to(device).eval()
    return loaded


def _from_folder(folder: Path) -> LoadedModel:
    config = model_config.read_config(folder)
    if "model_type" in config or "transformers_version" in config:
        return transformers_models.from_folder(folder, config)
    if "architecture" in config:
        return timm_models.exported(folder, config)
    return _from_run(folder, config)


def _from_run(folder: Path, config: Mapping[str, Any]) -> LoadedModel:
    path, weights = folder / CONFIG, folder / WEIGHTS
    model_config.require_run(config, path)
    network: Any = build_network(config["model"], **config.get("kwargs", {}))
    if not weights.is_file():
        raise CheckpointError(f"There is no {weights}: the run has not ended. Resume it first.")
    checkpoints.load_weights(network, checkpoints.read_safetensors(weights), weights)
    pixels = model_config.normalisation(config, path)
    shown = normalized(network, *pixels, f'{path}: "pixels"') if pixels else network
    transform = model_config.eval_transform(config, path)
    names, stated_by = model_config.class_names(config, path), CONFIG
    known = getattr(network, "pretrained_cfg", {}).get("num_classes")
    if "transform" not in config and known and known == network.num_classes:
        # A network of timm with other classes was trained again, on images of an unknown size.
        fill = {"mean": shown.mean.flatten().tolist()} if isinstance(shown, Normalized) else {}
        transform, _ = timm_models.transform_and_data(network, fill)
        stated_by += ", transform from timm's data configuration"
    return LoadedModel(str(folder), shown, config, transform, names, stated_by)


def _from_file(path: Path, model: str | None, *, ema: bool) -> LoadedModel:
    state, arch, args = checkpoints.read_checkpoint(path, ema=ema)
    if model is None and arch is None:
        raise CheckpointError(
            f"{path} does not say which network it is of. Name it: --model timm/NAME, or one of "
            f"{', '.join(NETWORKS)} (in Python: load_model(path, model=...))."
        )
    name = str(model or (arch if arch in NETWORKS else f"{TIMM}{str(arch).removeprefix(TIMM)}"))
    is_timm = name.startswith(TIMM)
    kwargs = timm_models.arguments(name, args) if is_timm else {}
    network: Any = build_network(name, **kwargs)
    state = checkpoints.without_prefixes(state, network, path)
    sizes = sizes_from(network, state)
    if not is_timm or sizes != {"num_classes": network.num_classes}:
        network = build_network(name, **(kwargs | sizes))
    checkpoints.load_weights(network, state, path)
    if is_timm:
        return timm_models.as_timm_shows(str(path), network, name, args)
    return LoadedModel(str(path), network, {"model": name})
