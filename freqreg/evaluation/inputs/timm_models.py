"""Models of timm, pretrained, exported or trained by its train.py, with timm's transform."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from freqreg.evaluation.inputs.loaded_model import CheckpointError, LoadedModel, Normalized
from freqreg.evaluation.inputs.networks import TIMM, timm_library, timm_name
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
    try:
        network = timm.create_model(name, pretrained=True)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
        way_out = (
            "Give the folder that timm's save_for_hf wrote, with config.json and the weights."
            if source.startswith(LOCAL)
            else "Connect to the network once, or point HF_HOME to a cache that has them."
        )
        raise CheckpointError(
            f"The weights of {source} cannot be fetched: {str(error).rstrip('.')}. {way_out}"
        ) from error
    if not network.num_classes:
        raise CheckpointError(
            f"{source} gives features, no classes: its weights come without a classifier. Train "
            "one, or choose a variant that has one (timm.list_pretrained())."
        )
    return as_timm_shows(source, network, source, {}, known=registered)


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
    transform, data = transform_and_data(network, args)
    normalized = Normalized(network, data["mean"], data["std"])
    names = _class_names(network, known=known)
    return LoadedModel(source, normalized, {"model": name}, transform, names)


def transform_and_data(
    network: nn.Module, args: Mapping[str, Any]
) -> tuple[EvalTransform, dict[str, Any]]:
    """Return timm's evaluation transform of the network, and the data config behind it.

    `args` are options of timm's train.py, which override the network's own.
    """
    from timm.data.config import resolve_model_data_config

    data = resolve_model_data_config(network, args=dict(args))
    size, fill = tuple(data["input_size"][-2:]), tuple(data["mean"])
    way = data["crop_pct"], data["interpolation"], data["crop_mode"]
    return EvalTransform(size, *way, fill), data


def _class_names(network: Any, *, known: bool) -> tuple[str, ...] | None:
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    config, classes = network.pretrained_cfg, network.num_classes
    names = config.get("label_names")
    if names:
        pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
        by_place = {int(place): name for place, name in pairs}
        return tuple(by_place.get(place, "") for place in range(classes))
    subset = infer_imagenet_subset(config) if known and config["num_classes"] == classes else None
    return tuple(ImageNetInfo(subset).label_names()) if subset else None
