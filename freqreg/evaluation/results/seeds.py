"""Models that differ in their training seeds alone, and labels that tell the others apart."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import PurePath
from typing import Any

from freqreg.evaluation.results.records import DIGESTS, ModelScores
from freqreg.evaluation.results.summary import conditions_of_both

TRAINING = ("model", "experiment", "preset", "mixed_precision")
"""Entries of a config.json about the training, beside "kwargs" and "settings"."""

Group = Sequence[ModelScores]


def training_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a config.json says of the training, without method, seed and "kwargs"."""
    stated = {name: config[name] for name in TRAINING if config.get(name) is not None}
    return {**stated, **entries(config, "settings")}


def entries(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the entries of an object in another; none if it is missing or no object."""
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def training_of(record: ModelScores) -> dict[str, Any]:
    """Return the settings of a model's training, without method and seed."""
    return {**entries(record.about, "kwargs"), **entries(record.about, "training")}


def seed_groups(records: Sequence[ModelScores]) -> list[list[int]]:
    """Return the places of records that differ in their seeds alone, group by group.

    They have one method, equal settings of the training, and equal images and settings of each
    score that both have.
    """
    groups: list[list[int]] = []
    for place, record in enumerate(records):
        fitting = (g for g in groups if all(_are_alike(record, records[n]) for n in g))
        group = next(fitting, None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    return groups


def is_copy(record: ModelScores, other: ModelScores) -> bool:
    """Whether two records of one group are of the same weights, or of one seed if unknown."""
    weights = record.about.get("weights"), other.about.get("weights")
    if all(weights):
        return weights[0] == weights[1]
    return record.about["training_seed"] == other.about["training_seed"]


def labels(groups: Sequence[Group], titles: Mapping[str, str]) -> list[str]:
    """Return each group's title or method, with the settings that differ between those of one."""
    names = {**short_names(group[0].method for group in groups), **titles}

    def label(group: Group) -> str:
        method = group[0].method
        alike = [other for other in groups if other[0].method == method]
        return ", ".join((names[method], *_training_told(group, alike), *_told(group, alike)))

    return [label(group) for group in groups]


def short_names(sources: Iterable[str]) -> dict[str, str]:
    """Return, for each source, the shortest end of its path that no other source has."""
    parts = {source: PurePath(source).parts for source in sources}

    def name(source: str) -> str:
        own, others = parts[source], [other for at, other in parts.items() if at != source]
        ends = (own[-length:] for length in range(1, len(own)))
        unique = (end for end in ends if all(o[-len(end) :] != end for o in others))
        return str(PurePath(*next(unique, own)))

    return {source: name(source) for source in parts}


def value_text(name: str, value: Any) -> str:
    """Write the value of a setting of the evaluation."""
    if name == "eps" and value is not None:
        return f"{255 * value:g}/255"
    return "all" if value is None and name.endswith("_images") else f"{value}"


def _are_alike(record: ModelScores, other: ModelScores) -> bool:
    own = (record.method, training_of(record)), (other.method, training_of(other))
    return own[0] == own[1] and not _differing(record, other)


def _differing(record: ModelScores, other: ModelScores) -> dict[str, Any]:
    """Return the settings of the evaluation in which a record differs from another."""
    return {
        name: own.get(name)
        for own, theirs in conditions_of_both(record, other, record.scores)
        for name in {**own, **theirs}
        if own.get(name) != theirs.get(name)
    }


def _training_told(group: Group, alike: Sequence[Group]) -> list[str]:
    settings = [training_of(other[0]) for other in alike]
    names = dict.fromkeys(name for each in settings for name in each)

    def apart(names: Sequence[str]) -> int:
        return len({str([each.get(name) for name in names]) for each in settings})

    varied = [name for name in names if apart([name]) > 1]
    common = [name for name in varied if name in settings[0]]
    told = common if apart(common) == apart(varied) else varied
    return [f"{name} {training_of(group[0]).get(name)}" for name in told]


def _told(group: Group, alike: Sequence[Group]) -> list[str]:
    """Tell the settings of the evaluation that part a group from those of the same training."""
    others = [o for o in alike if o is not group and training_of(o[0]) == training_of(group[0])]
    pairs = (_differing(*pair) for other in others for pair in product(group, other))
    found = {name: value for each in pairs for name, value in each.items()}
    told = {name: value for name, value in found.items() if name not in DIGESTS} or found
    return [f"{name.replace('_', ' ')} {value_text(name, value)}" for name, value in told.items()]
