"""Models of timm: pretrained, exported, or trained by its train.py; shown images as timm does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from freqreg.evaluation.inputs.checkpoints import Checkpoint, load_weights, without_prefixes
from freqreg.evaluation.inputs.loaded_model import CheckpointError, LoadedModel, Normalized
from freqreg.evaluation.inputs.networks import TIMM, sizes_from, timm_library, timm_name
from freqreg.evaluation.inputs.transforms import EvalTransform

SOURCES = (TIMM, "hf-hub:", "hf_hub:", "local-dir:")
LOCAL = "local-dir:"


def pretrained(source: str) -> LoadedModel:
    """A model with the weights that timm finds by this name.

    Raises:
        CheckpointError: there is no such model, or it is no classifier.
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
            "one, or take a variant that has one (timm.list_pretrained())."
        )
    return _as_timm_shows(source, network, source, {}, known=registered)


def from_checkpoint(source: str, name: str, found: Checkpoint) -> LoadedModel:
    """A network of timm with weights of its train.py, or with any state dict."""
    timm, bare, args = timm_library(name), timm_name(name), found.args
    kwargs = {
        **{key: args[key] for key in ("in_chans",) if args.get(key)},
        **({"global_pool": args["gp"]} if args.get("gp") else {}),
        **(args.get("model_kwargs") or {}),
    }
    if args.get("img_size") and timm.get_pretrained_cfg(bare).fixed_input_size:
        kwargs.setdefault("img_size", args["img_size"])
    network = timm.create_model(bare, **kwargs)
    state = without_prefixes(found.state, network, Path(source))
    sizes = sizes_from(network, state)
    if sizes != {"num_classes": network.num_classes}:
        network = timm.create_model(bare, **kwargs, **sizes)
    load_weights(network, state, Path(source))
    return _as_timm_shows(source, network, name, args, known=False)


def _as_timm_shows(
    source: str, network: Any, name: str, args: Mapping[str, Any], *, known: bool
) -> LoadedModel:
    """Behind the normalisation and transform of timm; `known` are weights of timm's own."""
    transform, data = transform_and_data(network, args)
    normalized = Normalized(network, data["mean"], data["std"])
    names = _class_names(network, known=known)
    return LoadedModel(source, normalized, {"model": name}, transform, names)


def transform_and_data(
    network: nn.Module, args: Mapping[str, Any]
) -> tuple[EvalTransform, dict[str, Any]]:
    """How timm evaluates the network: its transform, and mean, std, ... behind it.

    Args:
        network: of timm.
        args: options of timm's train.py, which come before the network's own.
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


def transform_if_pretrained_classes(
    network: Any, pixels: tuple[Any, Any] | None
) -> EvalTransform | None:
    """timm's own transform for a network of as many classes as its pretrained weights have.

    With another number of classes it was trained anew, on images of an unknown size.

    Args:
        network: of timm.
        pixels: mean and std that it was trained with; the mean fills borders.
    """
    if network.num_classes != network.pretrained_cfg.get("num_classes"):
        return None
    return transform_and_data(network, {"mean": pixels[0]} if pixels else {})[0]
