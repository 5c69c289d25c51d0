"""On a GPU a step waits for nothing, copies nothing anew and mixes no devices; the first may."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None or shutil.which("cc") is None,
    reason="needs a build of torch for CUDA, though no GPU, and a C compiler",
)

ROOT = Path(__file__).parents[2]
Events = dict[str, int]
Audit = dict[str, dict[str, list[Events]]]
"""By group and case: the events of the first step, and of a later one."""

AT_FIRST = {
    "copy: from the host at freqreg/_tensors.py:_made": "constants, once a device",
    "copy: from the host at freqreg/evaluation/corruptions/": "tables, once a device",
    "copy: from the host at freqreg/evaluation/attacks/restarts.py:update": "at a restart's end",
    "copy: from the host at freqreg/integrations/accelerate.py:__init__": "the model",
    "wait: aten.nonzero.default at freqreg/evaluation/corruptions/linear_maps.py": "a table",
    "wait: aten._local_scalar_dense.default at freqreg/_double_backward/mode.py": "first use",
    "wait: aten._local_scalar_dense.default at freqreg/_step/module_state.py": "first use",
    "wait: aten._local_scalar_dense.default at freqreg/_guards/verification.py": "first use",
    "wait: aten._local_scalar_dense.default at freqreg/differentiation/base.py": "first use",
    "wait: aten._local_scalar_dense.default at freqreg/_graph/module_calls.py": "first use",
    "copy: from the host at freqreg/_graph/module_calls.py": "first use",
    "wait: tolist at freqreg/pixels.py:require_inputs": "first use",
    "wait: aten._local_scalar_dense.default at freqreg/evaluation/inputs/examples.py": "checks",
    "wait: aten._local_scalar_dense.default at freqreg/evaluation/attacks/pgd.py:perturb": (
        "a restart's first gradients"
    ),
    "wait: copy to the host at freqreg/evaluation/attacks/": "at a restart's end",
    "wait: index by a mask at freqreg/evaluation/attacks/restarts.py": "at a restart's end",
    "wait: copy to the host at freqreg/evaluation/metrics/frequency_profile.py": "the result",
    "wait: aten._local_scalar_dense.default at freqreg/evaluation/metrics/": "the result",
    "wait: tolist at freqreg/integrations/_meter.py:read": "the log",
}
"""What may happen before there is a steady state, or once a run, and why."""

BY_NATURE = {
    "wait: copy to the host at freqreg/evaluation/corruptions/digital.py:through_jpeg": (
        "Pillow's codec"
    ),
    "wait: aten.equal.default at freqreg/evaluation/corruptions/relief.py:edges": (
        "whether edges still grow, once a batch"
    ),
    "wait: aten._local_scalar_dense.default at freqreg/integrations/accelerate.py:_train_batch": (
        "torch's gradient scaler reads whether to step"
    ),
}
"""What no step of its kind can do without."""


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Everything, in a process of its own, which has what looks like a GPU."""
    command = [sys.executable, "-m", "tests.fake_cuda", "tests.fake_cuda.audit"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-5000:]
    print(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def is_of_generators(event: str) -> bool:
    return event.startswith("generator")


def unexpected(events: Events, *allowed: dict[str, str]) -> Events:
    expected = tuple(beginning for kind in allowed for beginning in kind)
    return {
        event: count
        for event, count in events.items()
        if not event.startswith(expected) and not is_of_generators(event)
    }


def table(audit: Audit) -> str:
    """Of each group: cases, events in the first step, and after: by nature, and others."""
    rows = ["group         cases  first  by nature  steady"]
    for group, cases in audit.items():
        firsts, laters = zip(*cases.values(), strict=True)
        first = sum(sum(unexpected(events).values()) for events in firsts)
        steady = sum(sum(unexpected(events, BY_NATURE).values()) for events in laters)
        natural = sum(sum(unexpected(events).values()) for events in laters) - steady
        rows.append(f"{group:12} {len(cases):6} {first:6} {natural:10} {steady:7}")
    return "\n".join(rows)


def test_a_steady_step_waits_copies_and_mixes_nothing(audit: Audit) -> None:
    print(table(audit))
    sound = {group: cases for group, cases in audit.items() if group != "broken"}
    assert len(sound["objectives"]) > 200
    for group, cases in sound.items():
        for name, (first, steady) in cases.items():
            assert not unexpected(steady, BY_NATURE), f"{group}, {name}"
            assert not unexpected(first, AT_FIRST, BY_NATURE), f"{group}, {name}"


@pytest.mark.parametrize(
    ("mutation", "seen"),
    [("Reads", "wait: "), ("Copies", "copy: from the host"), ("Mixes", "mix: ")],
)
def test_each_mutation_is_seen(audit: Audit, mutation: str, seen: str) -> None:
    steady = unexpected(audit["broken"][mutation][1], BY_NATURE)
    assert any(event.startswith(seen) for event in steady), steady


def test_generators_are_touched_as_little_as_can_be(audit: Audit) -> None:
    """One reading at the start; and where several passes draw, a few for each."""
    for name, (_, steady) in audit["objectives"].items():
        counts = {event.split(" at ")[0]: n for event, n in steady.items()}
        if name.startswith(("jafr, none, double", "none, none")):
            assert counts == {"generator: read": 1}, name
        assert sum(counts.values()) <= 20, name


def test_what_draws_nothing_writes_to_no_generator(audit: Audit) -> None:
    for name, (_, steady) in audit["recipes"].items():
        assert not any(event.startswith("generator: write") for event in steady), name
