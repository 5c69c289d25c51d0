"""The tables of docs/performance.md."""

import json
from collections.abc import Sequence
from math import inf
from typing import Any

from freqreg.evaluation.report.rendering import markdown_table
from tests.benchmarks.performance_conditions import conditions

Run = dict[str, Any]
Row = dict[str, Any]
TITLES = {
    "preact": "PreAct-ResNet-18",
    "resnet50": "ResNet-50 (timm)",
    "vit": "ViT-Ti/16 (timm)",
    "convnext": "ConvNeXt-A (timm)",
    "convolutions": "Convolutions with GELU",
}


def together(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each table, which differ in memory format and times or in the axis alone."""
    tables: dict[str, list[Run]] = {}
    for run in runs:
        tables.setdefault(json.dumps([conditions(run), _shared(run)]), []).append(run)
    return list(tables.values())


def _shared(run: Run) -> Sequence[Any]:
    """What runs in one table have in common."""
    settings = dict(run["settings"])
    if run["program"] == "scaling":
        return [settings.get(name) for name in ("model", "precision", "methods")]
    settings.pop("memory_format", None)
    times = ("seconds", "ratio")
    return [settings, *({k: v for k, v in row.items() if k not in times} for row in run["results"])]


def summary_table(runs: Sequence[Run]) -> str:
    """Time and memory of each step over a plain step's: least and most of all runs."""
    found: dict[str, list[Row]] = {}
    for row in (row for run in runs for row in run["results"]):
        if not row["step"].startswith("plain"):
            found.setdefault(row["step"], []).append(row)
    rows = [
        [step, spread(rows, "ratio"), spread(rows, "memory"), f"{len(rows)}"]
        for step, rows in sorted(found.items(), key=lambda item: item[1][0]["expected"] or inf)
    ]
    return markdown_table(["Step", "time, × plain", "memory, × plain", "runs"], rows)


def spread(rows: Sequence[Row], name: str) -> str:
    """The least and the most of a figure."""
    least, most = (f"{pick(row[name] for row in rows):.1f}" for pick in (min, max))
    return least if least == most else f"{least} to {most}"


def step_cost_table(first: Run, *others: Run) -> str:
    """Time, operations and memory of every step on one network, in each memory format."""
    runs = (first, *others)
    forms = [form(run["settings"]) for run in runs]
    title = heading(first) + ("" if others else forms[0])
    timed = [x for each in forms for x in (f"Seconds{each if others else ''}", "× plain")]
    published = any(row["of_published"] is not None for row in first["results"])
    head = ["Step", *timed, "expected", "counted FLOPs", "× published", "memory"]
    rows = [
        [
            same[0]["step"],
            *(x for row in same for x in (f"{row['seconds']:.3g}", f"{row['ratio']:.2f}")),
            number(same[0]["expected"]),
            f"{same[0]['flops']:.2f}",
            number(same[0]["of_published"]),
            f"{same[0]['mib']:.0f} MiB ({same[0]['memory']:.2f})",
        ]
        for same in zip(*(run["results"] for run in runs), strict=True)
    ]
    if not published:
        head, *rows = ([*cells[:-2], cells[-1]] for cells in (head, *rows))
    note = f"*Smooth*, and all finite differences: {first['settings']['smooth']}."
    return f"{title}\n\n{markdown_table(head, rows)}\n\n{note} {farthest(runs)}"


def farthest(runs: Sequence[Run]) -> str:
    """The step whose expected time was least right."""
    rows = [row for run in runs for row in run["results"] if row["expected"] is not None]
    row = max(rows, key=deviation)
    return f"Expected and measured are at most {deviation(row):.0%} apart ({row['step']})."


def deviation(row: dict[str, Any]) -> float:
    """Of the expected time from the measured one, relative to the latter."""
    return abs(row["expected"] - row["ratio"]) / row["ratio"]


def scaling_table(*runs: Run) -> str:
    """Ratios to a plain step, along one axis after the other."""
    methods = runs[0]["settings"]["methods"]
    head = ["", "plain, seconds", *methods, "penalty's own share"]
    rows = [
        [
            f"{run['settings']['axis']} {row['step']}",
            f"{row['seconds']:.3g}",
            *(f"{row[method]:.2f}" for method in methods),
            f"{row['penalty']:.2%}",
        ]
        for run in runs
        for row in run["results"]
    ]
    return markdown_table(head, rows)


def memory_table(run: Run) -> str:
    """Peaks of every way to take a step."""
    head = ["Step", "all, MiB", "× plain", "made, MiB", "× plain", "counted FLOPs, × plain"]
    rows = [
        [
            row["step"],
            *(
                text
                for name in ("alive", "made")
                for text in (f"{row[f'{name}_mib']:.0f}", f"{row[name]:.2f}")
            ),
            f"{row['flops']:.2f}",
        ]
        for row in run["results"]
    ]
    note = activation(run["settings"])
    return f"{heading(run)}{note}\n\n{markdown_table(head, rows)}"


def activation(settings: dict[str, Any]) -> str:
    """Where it is not the network's own."""
    return f", {settings['activation']}" if "activation" in settings else ""


def rates_table(run: Run) -> str:
    """Images per second of attacks and corruptions."""
    head = ["", "images per second"]
    rows = [[row["step"], f"{row['images_per_second']:,.0f}"] for row in run["results"]]
    return f"{heading(run)}\n\n{markdown_table(head, rows)}"


def compile_table(run: Run) -> str:
    """Eager and compiled steps."""
    head = ["Step", "seconds", "× eager", "to compile, seconds", "largest difference"]
    rows = [
        [
            row["step"],
            f"{row['seconds']:.3g}",
            number(row["of_eager"]),
            number(row["compilation"], "{:.0f}"),
            number(row["difference"], "{:.0e}"),
        ]
        for row in run["results"]
    ]
    return f"{heading(run)}\n\n{markdown_table(head, rows)}"


def heading(run: Run) -> str:
    """The network and its batch."""
    s = run["settings"]
    width = f", width {s['width']}" if "width" in s else ""
    name = TITLES.get(s["model"], s["model"])
    precision = f", {s['precision']}" if "precision" in s else ""
    size = f"{s['batch_size']} images of {s['image_size']} pixels"
    return f"### {name}{width}, {size}{precision}"


def form(settings: dict[str, Any]) -> str:
    """The memory format, where there is one."""
    return f", {settings['memory_format'].replace('_', ' ')}" if "memory_format" in settings else ""


def number(value: float | None, form: str = "{:.2f}") -> str:
    """Or a dash."""
    return "–" if value is None else form.format(value)
