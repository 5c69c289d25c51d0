"""The tables of docs/performance.md."""

from collections.abc import Sequence
from math import inf
from typing import Any

from freqreg.evaluation.report.rendering import markdown_table

Run = dict[str, Any]
Row = dict[str, Any]
TITLES = {
    "preact": "PreAct-ResNet-18",
    "resnet50": "ResNet-50 (timm)",
    "vit": "ViT-Ti/16 (timm)",
    "convnext": "ConvNeXt-A (timm)",
    "convolutions": "Convolutions with GELU",
}


def summary_table(runs: Sequence[Run]) -> str:
    """Time and memory of each step over a plain step's: least and most of all networks."""
    found: dict[str, list[Row]] = {}
    for row in (row for run in runs for row in run["results"]):
        if not row["step"].startswith("plain"):
            found.setdefault(row["step"], []).append(row)
    rows = [
        [step, spread(rows, "ratio"), spread(rows, "memory"), f"{len(rows)}"]
        for step, rows in sorted(found.items(), key=lambda item: item[1][0]["expected"] or inf)
    ]
    return markdown_table(["Step", "time, × plain", "memory, × plain", "tables"], rows)


def spread(rows: Sequence[Row], name: str) -> str:
    """The least and the most of a figure."""
    least, most = (f"{pick(row[name] for row in rows):.1f}" for pick in (min, max))
    return least if least == most else f"{least} to {most}"


def step_cost_table(run: Run) -> str:
    """Time, operations and memory of every step on one network."""
    head = ["Step", "Seconds", "× plain", "expected", "counted FLOPs", "× published", "memory"]
    rows = [
        [
            row["step"],
            f"{row['seconds']:.3g}",
            f"{row['ratio']:.2f}",
            number(row["expected"]),
            f"{row['flops']:.2f}",
            number(row["of_published"]),
            f"{row['mib']:.0f} MiB ({row['memory']:.2f})",
        ]
        for row in run["results"]
    ]
    note = f"*Smooth*, and all finite differences: {run['settings']['smooth']}."
    return f"{heading(run)}\n\n{markdown_table(head, rows)}\n\n{note} {farthest(run)}"


def farthest(run: Run) -> str:
    """The step whose expected time was least right."""
    row = max((r for r in run["results"] if r["expected"] is not None), key=deviation)
    return f"Expected and measured are at most {deviation(row):.0%} apart ({row['step']})."


def deviation(row: dict[str, Any]) -> float:
    """Of the expected time from the measured one, relative to the latter."""
    return abs(row["expected"] - row["ratio"]) / row["ratio"]


def scaling_table(run: Run) -> str:
    """Ratios to a plain step along one axis."""
    axis = run["settings"]["axis"]
    head = [axis, "plain, seconds", *run["settings"]["methods"], "penalty's own share"]
    rows = [
        [
            row["step"],
            f"{row['seconds']:.3g}",
            *(f"{row[method]:.2f}" for method in run["settings"]["methods"]),
            f"{row['penalty']:.2%}",
        ]
        for row in run["results"]
    ]
    return f"### Cost against {axis}\n\n{markdown_table(head, rows)}"


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
    ratios = {row["step"]: row["of_eager"] for row in run["results"]}
    return f"{heading(run)}\n\n{markdown_table(head, rows)}\n\n{answer(ratios)}"


def answer(of_eager: dict[str, float | None]) -> str:
    """What compiling gains, for the exact step and for differences."""
    return " ".join(
        f"{subject} takes {of_eager[step]:.2f} of its eager time here."
        for step, subject in (
            ("exact, one graph", "The exact step as one graph"),
            ("one-sided, inductor", "The step with one-sided differences"),
            ("plain, inductor", "The plain step"),
        )
    )


def heading(run: Run) -> str:
    """The network and its batch."""
    s = run["settings"]
    width = f", width {s['width']}" if "width" in s else ""
    form = f", {s['memory_format'].replace('_', ' ')}" if "memory_format" in s else ""
    name = TITLES.get(s["model"], s["model"])
    precision = f", {s['precision']}" if "precision" in s else ""
    size = f"{s['batch_size']} images of {s['image_size']} pixels"
    return f"### {name}{width}, {size}{form}{precision}"


def number(value: float | None, form: str = "{:.2f}") -> str:
    """Or a dash."""
    return "–" if value is None else form.format(value)
