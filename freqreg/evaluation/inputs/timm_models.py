"""Models of timm, pretrained, exported or trained by its train.py, with timm's transform."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from freqreg.errors import SettingError
from freqreg.evaluation.inputs.loaded_model import CheckpointError, LoadedModel, names_in_order
from freqreg.evaluation.inputs.model_config import CONFIG, read_config
from freqreg.evaluation.inputs.networks import TIMM, timm_library, timm_name
from freqreg.evaluation.inputs.normalisation import normalized
from freqreg.evaluation.inputs.transforms import EvalTransform

SOURCES = (TIMM, "hf-hub:", "hf_hub:", "local-dir:")
LOCAL = "local-dir:"


def pretrained(source: str) -> LoadedModel:
    """Load a model with the weights that timm finds by this name.

    Raises:
        CheckpointError: there is no such model, or it is not a classifier.
    """
    timm = timm_library(source)
    registered = source.startswith(TIMM)
    name = timm_name(source) if registered else source
    if source.startswith(LOCAL):
        _require_size(Path(source.removeprefix(LOCAL)))
    try:
        network = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
        way_out = (
            "Give the folder that timm's save_for_hf wrote, with config.json and the weights."
            if source.startswith(LOCAL)
            else "Connect to the network once, or point HF_HOME to a cache that has them."
        )
        raise CheckpointError(
            f"The weights of {source} cannot be fetched: {str(error).rstrip('.') or repr(error)}. "
            + way_out
        ) from error
    if not network.num_classes:
        raise CheckpointError(
            f"{source} gives features, no classes: its weights come without a classifier. Train "
            "one, or choose a variant that has one (timm.list_pretrained())."
        )
    return as_timm_shows(source, network, source, {}, known=registered)


def _require_size(folder: Path) -> None:
    """Raise a CheckpointError unless an "input_size" in config.json has three numbers."""
    stated = read_config(folder).get("pretrained_cfg") if (folder / CONFIG).is_file() else None
    size = (
        stated["input_size"] if isinstance(stated, dict) and "input_size" in stated else [3, 1, 1]
    )
    numbers = size if isinstance(size, list) else []
    if len(numbers) != 3 or not all(type(n) is int and n > 0 for n in numbers):
        raise CheckpointError(
            f'{folder} states the "input_size" {size!r} in config.json; needed are three whole '
            "numbers: [channels, height, width]."
        )


def exported(folder: Path, config: Mapping[str, Any]) -> LoadedModel:
    """Load the folder that timm's save_for_hf wrote.

    Raises:
        CheckpointError: it has no such model, or its config.json contradicts itself.
    """
    if misplaced := next((key for key in ("mean", "std", "crop_pct") if key in config), None):
        raise CheckpointError(
            f"{folder} has {misplaced!r} at the top of config.json, where timm does not read it. "
            'Write it inside "pretrained_cfg".'
        )
    loaded = pretrained(f"{LOCAL}{folder}")
    network: Any = loaded.model.model
    stated = config.get("num_classes", network.num_classes)
    if stated != network.num_classes:
        raise CheckpointError(
            f'{folder} states "num_classes" {stated}, and its weights have {network.num_classes} '
            "classes. Correct config.json, or give the weights that belong to it."
        )
    return loaded


def arguments(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which timm's train.py builds the network for these options."""
    given = {"in_chans": args.get("in_chans"), "global_pool": args.get("gp")}
    if timm_library(name).get_pretrained_cfg(timm_name(name)).fixed_input_size:
        given["img_size"] = args.get("img_size")
    stated = {key: value for key, value in given.items() if value}
    return stated | (args.get("model_kwargs") or {})


def as_timm_shows(
    source: str, network: Any, name: str, args: Mapping[str, Any], *, known: bool = False
) -> LoadedModel:
    """Wrap a network in timm's normalisation and transform; `known` are timm's own weights."""
    names = _class_names(network, source, known=known)
    try:
        data = _data_config(network, args)
        shown = normalized(network, data["mean"], data["std"], source)
        transform = _transform(data)
    except (SettingError, AssertionError, TypeError) as error:
        raise CheckpointError(
            f"{source} states no valid transform of pictures: {error} Correct its config.json, "
            "or the args of the checkpoint."
        ) from error
    stated_by = f"timm's data configuration of {name}" + (" and the file's args" if args else "")
    natural_order = _are_folders(args)
    return LoadedModel(source, shown, {"model": name}, transform, names, stated_by, natural_order)


def transform_and_data(
    network: nn.Module, args: Mapping[str, Any]
) -> tuple[EvalTransform, dict[str, Any]]:
    """Return timm's evaluation transform of the network, and the data config behind it.

    `args` are options of timm's train.py, which override the network's own.
    """
    data = _data_config(network, args)
    return _transform(data), data


def _are_folders(args: Mapping[str, Any]) -> bool:
    """Whether these options are of timm's train.py, on class folders that it numbers itself."""
    return args.get("class_map", True) in (None, "") and "/" not in (args.get("dataset") or "")


def _data_config(network: nn.Module, args: Mapping[str, Any]) -> dict[str, Any]:
    from timm.data.config import resolve_model_data_config

    return resolve_model_data_config(network, args=dict(args))


def _transform(data: Mapping[str, Any]) -> EvalTransform:
    size, mean = tuple(data["input_size"][-2:]), tuple(data["mean"])
    way = data["crop_pct"], data["interpolation"], data["crop_mode"]
    return EvalTransform(size, *way, mean if len(mean) == 3 else mean * 3)


def _class_names(network: Any, source: str, *, known: bool) -> tuple[str, ...] | None:
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    config, classes = network.pretrained_cfg, network.num_classes
    if names := config.get("label_names"):
        return names_in_order(names, classes, f"{source}: label_names")
    subset = infer_imagenet_subset(config) if known and config["num_classes"] == classes else None
    return tuple(ImageNetInfo(subset).label_names()) if subset else None
