"""What the study of the recipes takes from a measured table of step costs."""

import json
from pathlib import Path

from tests.benchmarks.machine import QUIET
from tests.benchmarks.performance import Measured

METHODS: tuple[str, ...] = ("JaFR", "FGSM", "FGSM + JaFR", "FGSM + GradAlign", "PGD-10")


def write_study(run: Measured, file: Path) -> None:
    """Ratios and FLOP limits of the methods, where nothing else disturbed the run."""
    if run.other_work is None or run.other_work > QUIET:
        raise SystemExit(
            f"{file} is not written: other processes kept {run.other_work} cores busy during the "
            f"measurement, and {QUIET} are allowed. Measure again on an idle machine."
        )
    rows = {row["step"]: row for row in run.results}
    missing = [name for name in METHODS if name not in rows]
    if missing:
        raise SystemExit(f"{file} is not written: {missing} were not measured.")
    study = {
        "settings": run.settings,
        "machine": run.machine,
        "ratios": {name: rows[name]["ratio"] for name in METHODS},
        "flop_limits": {name: rows[name]["flops"] for name in METHODS},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(study, indent=2, ensure_ascii=False) + "\n")
