"""Under what conditions numbers were measured, and what was not measured."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from math import isclose, sqrt
from typing import Any

from freqreg.evaluation.benchmark.scores import SCORES
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.report.blocks import NOTHING, Table, TableCell
from freqreg.evaluation.report.groups import Group
from freqreg.evaluation.report.quantities import CORRUPTION_ROWS
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.results.records import Entry

TITLES = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "pgd-max-loss": "PGD, published rule",
    "cw": "CW",
    "autoattack": "AutoAttack",
    "square": "Square",
    "curve": "against ε",
    "log_b_low": "log B_low",
    "corruption": "corruptions",
    "recalibrated": "corruptions, recalibrated",
}
"""Scores as people call them, where not by their names."""

_PUBLISHED = ("fgsm", "pgd", "pgd-max-loss", "cw", "autoattack", "log_b_low", "corruption")
"""Scores that the paper has as well, from settings which are the defaults here."""

_PAPER = asdict(EvaluationSettings())

_OURS = ("seed", "batch_size", "corruptions_from")
"""Settings that the paper does not state."""

_DIGESTS = {name for score in SCORES.values() for name in score.digests}
"""What is noted beside settings, for machines to compare."""

_EXPECTED: dict[str, Callable[[ReportedRun], bool]] = {
    "clean accuracy": lambda run: "clean" in run.record.scores,
    "FGSM": lambda run: "fgsm" in run.record.scores,
    "PGD": lambda run: bool({"pgd", "pgd-max-loss"} & run.record.scores.keys()),
    "CW": lambda run: "cw" in run.record.scores,
    "AutoAttack": lambda run: "autoattack" in run.record.scores,
    "accuracy against ε": lambda run: "curve" in run.record.scores,
    "corruptions": lambda run: None not in [q.measured(run) for q in CORRUPTION_ROWS.values()],
    "noise": lambda run: "noise" in run.record.scores,
    "log B_low": lambda run: "log_b_low" in run.record.scores,
    "seconds a step": lambda run: run.seconds_per_step is not None,
}


def condition_table(groups: Sequence[Group]) -> Table:
    """Settings behind each score, the paper's where they differ, and how precise it can be.

    A score that runs have under different settings takes a row for each of these.
    """
    found: dict[str, dict[tuple[str, int | None], list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for label, run, score, entry in _entries(groups):
        kind = score.partition("/")[0]
        condition = _settings_text(kind, entry), _images(entry, run)
        found[kind][condition].append(label)
    rows = [
        _row(kind, settings, images, labels if len(conditions) > 1 else [])
        for kind, conditions in found.items()
        for (settings, images), labels in conditions.items()
    ]
    return Table(("", "settings", "images", "sampling error"), tuple(rows))


def version_lines(groups: Sequence[Group]) -> tuple[str, ...]:
    """The different sets of versions that numbers were measured with."""
    texts = (
        ", ".join(f"{name} {version}" for name, version in entry.versions.items())
        for *_, entry in _entries(groups)
    )
    return tuple(dict.fromkeys(text for text in texts if text))


def missing_lines(groups: Sequence[Group]) -> tuple[str, ...]:
    """What runs lack, and which of the paper's methods were not run."""
    run = [group for group in groups if group.runs]
    lines = [_lacking(what, is_there, run) for what, is_there in _EXPECTED.items()]
    unseen = [g.label for g in run if all(r.portrait is None for r in g.runs)]
    lines.append(f"spectra and pictures of J: {', '.join(unseen)}" if unseen else "")
    never = [group.label for group in groups if not group.runs]
    lines.append(f"methods of the paper: {', '.join(never)}" if never else "")
    return tuple(line for line in lines if line)


def _entries(groups: Sequence[Group]) -> Iterator[tuple[str, ReportedRun, str, Entry]]:
    for group in groups:
        for run in group.runs:
            for score, entry in run.record.scores.items():
                yield group.label, run, score, entry


def _row(kind: str, settings: str, images: int | None, labels: list[str]) -> tuple[TableCell, ...]:
    error = None if kind == "log_b_low" or images is None else 98 / sqrt(images)
    return (
        TableCell(TITLES.get(kind, kind), below=", ".join(dict.fromkeys(labels))),
        TableCell(settings),
        TableCell(NOTHING if images is None else f"{images:,}"),
        TableCell(NOTHING if error is None else f"± {error:.1f}"),
    )


def _settings_text(kind: str, entry: Entry) -> str:
    texts = [
        f"{name.replace('_', ' ')} {_value_text(name, value)}{_difference(kind, name, value)}"
        for name, value in entry.settings.items()
        if name not in _DIGESTS
    ]
    return ", ".join(texts) or NOTHING


def _difference(kind: str, name: str, value: Any) -> str:
    """The paper's setting, where it has one and that is another."""
    is_published = kind in _PUBLISHED and name in _PAPER and name not in _OURS
    differs = is_published and not _is_same(value, _PAPER[name])
    return f" (paper {_value_text(name, _PAPER[name])})" if differs else ""


def _value_text(name: str, value: Any) -> str:
    if name == "eps":
        return f"{255 * value:g}/255"
    return "all" if value is None else f"{value}"


def _is_same(value: Any, other: Any) -> bool:
    return isclose(value, other) if isinstance(other, float) else value == other


def _images(entry: Entry, run: ReportedRun) -> int | None:
    """How many a score is of, if that is known."""
    counts = [
        count
        for name, count in entry.settings.items()
        if name.endswith("_images") and name != "recalibration_images"
    ]
    known = [n for n in (*counts, run.record.about.get("images")) if n is not None]
    return min(known) if known else None


def _lacking(what: str, is_there: Callable[[ReportedRun], bool], groups: Sequence[Group]) -> str:
    without = {g.label: sum(not is_there(run) for run in g.runs) for g in groups}
    texts = [
        g.label if count == len(g.runs) else f"{g.label} ({count} of {len(g.runs)})"
        for g in groups
        if (count := without[g.label])
    ]
    nowhere = sum(without.values()) == sum(len(g.runs) for g in groups)
    return f"{what}: {'all' if nowhere else ', '.join(texts)}" if texts else ""
