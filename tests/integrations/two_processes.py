"""Programs that run in two processes on the CPU, and their results."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

ROOT = Path(__file__).parents[2]
LOCAL_BATCH = 2


def results_of(module: str, folder: Path) -> dict[str, Any]:
    """What `module` writes into the file that it is given, run by torchrun."""
    path = folder / "results.json"
    program = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
        *("-m", module, str(path)),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


def difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Of all `expected` gradients, relative to the largest element."""
    scale = max(value.abs().max().item() for value in expected.values())
    return max((found[n] - expected[n]).abs().max().item() for n in expected) / scale
