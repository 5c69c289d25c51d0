"""docs/timm-families.md, from what the sweep of timm's families measured."""

import math
import re
from typing import Any

EXACT, FINITE = "DoubleBackprop()", "FiniteDifference()"
HEAD = """# Families of timm

One JaFR step, forward and backward, by `freqreg.check`: a small entry point of a module of
`timm.models` (small names first), the smallest square input at which it trains, random weights,
two images.{progress}

- Modules with entry points: {modules}; measured: {count}.
- Made a plain step on an image batch: {taken}. The others count as not passing; the table has their
  cause, such as the time limit.
- Pass with at least one differentiation: {either}.
- Pass with `DoubleBackprop()` after following `check`'s advice: {exact}.
- Needed fused attention off for that: {advised}.

timm {timm}, torch {torch}, one CPU thread of a machine that was busy otherwise: take seconds as a
rough guide. MiB are what a step allocates at its peak (activations, gradients, temporary values),
without parameters and images. In brackets: relative to a plain step.

| Module | Model, size | DoubleBackprop: s, MiB | FiniteDifference: s, MiB | Needed, or the reason |
|---|---|---|---|---|
"""
UNFINISHED = """ **Not whole yet**: {missing} modules are still to be
run, so the shares below say nothing about all of timm."""


def compact(result: dict[str, Any]) -> dict[str, Any]:
    """What the page needs of a family's measurement."""
    kept = {key: result[key] for key in ("family", "model", "size") if key in result}
    report = result.get("after advice") or result.get("as it is")
    if "error" in result or report is None:
        return kept | {"error": cause(result.get("error", "nothing was measured"))}
    ways = {way["name"]: outcome(way) for way in report["ways"] if way["name"] in (EXACT, FINITE)}
    plain = figures(report["plain"])
    return kept | {"advised": "after advice" in result, "plain": plain, "ways": ways}


def figures(cost: dict[str, float]) -> list[float]:
    """Seconds and MiB."""
    return [float(f"{cost['seconds']:.3g}"), float(f"{cost['bytes'] / 2**20:.3g}")]


def outcome(way: dict[str, Any]) -> list[float] | str:
    """Seconds and MiB, or why not."""
    if way["error"]:
        return cause(way["error"])
    share = way["share"]
    if share is not None and not math.isfinite(share):
        return "the penalty's gradient is not finite"
    return figures(way["cost"])


def cause(error: str) -> str:
    """The kind of an error and the kinds of modules it names, or else its first sentence."""
    kind, _, text = error.partition(": ")
    kinds = sorted(set(re.findall(r" \((\w+)\)", text)))
    if kind == "SecondDerivativeError" and kinds:
        return f"{kind}: {', '.join(kinds)}"
    return re.split(r"(?<=\w)\. |\n", error)[0].replace("|", "/")[:160]


def passes(family: dict[str, Any], *names: str) -> bool:
    """Whether one of these differentiations works."""
    return any(isinstance(family.get("ways", {}).get(name), list) for name in names)


def cell(family: dict[str, Any], name: str) -> str:
    """What a differentiation costs, or why it fails."""
    way = family.get("ways", {}).get(name, "–")
    if isinstance(way, str):
        return way
    (seconds, mib), (plain, plain_mib) = way, family["plain"]
    return f"{seconds:.2g} ({seconds / plain:.1f}), {plainly(mib)} ({mib / plain_mib:.1f})"


def plainly(value: float) -> str:
    """Three digits, and no power of ten."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def row(family: dict[str, Any]) -> str:
    """One line of the table."""
    model = f"`{family['model']}`, {family['size']}" if "size" in family else "–"
    note = family.get("error", "fused attention off" if family.get("advised") else "")
    cells = (family["family"], model, cell(family, EXACT), cell(family, FINITE), note)
    return f"| {' | '.join(cells)} |"


def share(count: int, total: int) -> str:
    """A count with its percentage."""
    return f"{count} ({100 * count / max(total, 1):.0f} %)"


def page(sweep: dict[str, Any]) -> str:
    """The whole page."""
    results = sweep["results"]
    taken = [r for r in results if "ways" in r]
    missing = sweep["modules"] - len(results)
    head = HEAD.format(
        progress=UNFINISHED.format(missing=missing) if missing else "",
        modules=sweep["modules"],
        count=len(results),
        taken=len(taken),
        either=share(sum(passes(r, EXACT, FINITE) for r in taken), len(results)),
        exact=share(sum(passes(r, EXACT) for r in taken), len(results)),
        advised=sum(r["advised"] for r in taken),
        timm=sweep["timm"],
        torch=sweep["torch"],
    )
    return head + "\n".join(map(row, results)) + "\n"
