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

import timm
import torch
import tyro

from tests.benchmarks.timm_page import compact, page

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "timm-families.md"


@dataclass(frozen=True)
class Settings:
    """Of the sweep."""

    work_dir: Path = Path("runs/timm-families")
    jobs: int = 1
    timeout: float = 900
    """Seconds for one family."""
    memory_gib: float = 12
    """Address space of one family's process."""
    measure: bool = True
    """Else only write the page of what there is."""
    page: Path = PAGE


def measure(family: str, settings: Settings) -> None:
    """One JSON file for a family, unless it is there."""
    file = settings.work_dir / f"{family}.json"
    if file.exists():
        return
    limit = f"ulimit -v {int(settings.memory_gib * 2**20)} && exec "
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


def main(settings: Settings) -> None:
    """Measure what is missing, and write the page."""
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    families = [f for f in timm.list_modules() if timm.list_models(module=f)]
    if settings.measure:
        with ThreadPoolExecutor(settings.jobs) as pool:
            list(pool.map(lambda family: measure(family, settings), families))
    write_page(settings, families)


def write_page(settings: Settings, families: list[str]) -> None:
    """The page of what has been measured, and its figures beside it."""
    files = [settings.work_dir / f"{family}.json" for family in families]
    results = [compact(json.loads(file.read_text())) for file in files if file.exists()]
    versions = {"timm": timm.__version__, "torch": torch.__version__.split("+")[0]}
    sweep = {**versions, "modules": len(families), "results": results}
    lines = json.dumps(sweep, ensure_ascii=False).replace('{"family"', '\n{"family"')
    settings.page.with_suffix(".json").write_text(lines + "\n")
    settings.page.write_text(page(sweep))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
