"""One JaFR step of every family of timm with each differentiation, into docs/timm-families.md.

    python -m tests.benchmarks.timm_families --jobs 1

Each family runs in a process of its own; the same command again does what is missing.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import tyro

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "timm-families.md"


@dataclass(frozen=True)
class Settings:
    """Of the sweep."""

    work_dir: Path = Path("tests/benchmarks/results/timm_families")
    jobs: int = 1
    timeout: float = 600
    """Seconds for one family."""
    memory_gib: float = 12
    """Address space of one family's process."""
    page: Path = PAGE


def measure(family: str, settings: Settings) -> None:
    """One JSON file for a family, unless it is there."""
    file = settings.work_dir / f"{family}.json"
    if file.exists():
        return
    limit = f"ulimit -v {int(settings.memory_gib * 2**20)} && exec nice -n 10 "
    command = limit + f"{sys.executable} -m tests.benchmarks.timm_family {family}"
    try:
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True,
            timeout=settings.timeout, check=False,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        cause = (done.stderr.splitlines() or [f"exit status {done.returncode}"])[-1]
        result = json.loads(lines[-1]) if lines else {"family": family, "error": cause}
    except subprocess.TimeoutExpired:
        result = {"family": family, "error": f"longer than {settings.timeout:g} s"}
    part = file.with_suffix(".part")
    part.write_text(json.dumps(result))
    part.replace(file)


def final(result: dict[str, Any]) -> dict[str, Any]:
    """The report after following the advice, where there was any."""
    return result.get("after advice") or result.get("as it is") or {"ways": []}


def works(result: dict[str, Any], kind: str) -> bool:
    """Whether a differentiation of this class works."""
    return any(w["name"].startswith(kind) and not w["error"] for w in final(result)["ways"])


def cell(result: dict[str, Any], name: str) -> str:
    """Seconds and memory of one way, relative to a plain step where it works."""
    way = next((w for w in final(result)["ways"] if w["name"] == name), None)
    if way is None:
        return "–"
    if way["error"]:
        return f"fails: {shortened(way['error'])}"
    return f"{way['cost']['seconds']:.2g} s, {way['cost']['bytes'] / 2**20:.3g} MiB"


def shortened(text: str) -> str:
    """The beginning of an error, for a cell of a table."""
    return text.split("\n")[0].replace("|", "/")[:160]


def row(result: dict[str, Any]) -> str:
    """One line of the table."""
    model = f"`{result['model']}`, {result['size']}" if "size" in result else "–"
    needed = "fused attention off" if "after advice" in result else ""
    cells = [cell(result, "DoubleBackprop()"), cell(result, "FiniteDifference()")]
    note = shortened(result.get("error", needed))
    return f"| {result['family']} | {model} | {' | '.join(cells)} | {note} |"


def page(results: list[dict[str, Any]], families: int) -> str:
    """The whole page."""
    count = len(results)
    exact = sum(works(r, "DoubleBackprop") for r in results)
    either = sum(works(r, "DoubleBackprop") or works(r, "FiniteDifference") for r in results)
    percent = {n: f"{n} of {count} ({100 * n / max(count, 1):.0f} %)" for n in (exact, either)}
    versions = f"timm {timm.__version__}, torch {torch.__version__}"
    head = f"""# Families of timm

A JaFR step of {count} of the {families} modules of `timm.models`: each one's smallest
entry point (small names first) at the smallest square input
it takes, random weights, two images, by `freqreg.check`.

- Works with at least one differentiation: {percent[either]}.
- Works with `DoubleBackprop()` after following `check`'s advice: {percent[exact]}.
- Needed `fused_attn = False` for that: {sum("after advice" in r for r in results)}.

{versions}, one CPU thread.
Memory: bytes of storages alive at the peak. Written by `python -m tests.benchmarks.timm_families`.

| Module | Model, size | DoubleBackprop | FiniteDifference | Needed, or the reason |
|---|---|---|---|---|
"""
    return head + "\n".join(map(row, results)) + "\n"


def main(settings: Settings) -> None:
    """Measure what is missing, and write the page."""
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    families = [f for f in timm.list_modules() if timm.list_models(module=f)]
    with ThreadPoolExecutor(settings.jobs) as pool:
        list(pool.map(lambda family: measure(family, settings), families))
    write_page(settings, families)


def write_page(settings: Settings, families: list[str]) -> None:
    """The page of what has been measured."""
    files = [settings.work_dir / f"{family}.json" for family in families]
    results = [json.loads(file.read_text()) for file in files if file.exists()]
    settings.page.write_text(page(results, len(families)))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
