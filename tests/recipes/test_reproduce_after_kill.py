"""reproduce.py killed by SIGKILL and started again runs nothing twice and loses nothing."""

import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from recipe.data_sets import CIFAR10
from recipe.settings.overrides import suffix
from recipe.tasks import LOCK, LOG
from schema_true import write_parquet

from tests.processes import fork

RECIPES = Path(__file__).parents[2] / "recipes"
EPOCHS = 20
SMALL = ("model=one_conv", f"epochs={EPOCHS}", "batch_size=8", "attack_steps=1")


def reproduce(folder: Path) -> None:
    sys.argv = ["reproduce.py", "--seeds=1", "--preset=smoke", "--jobs=1"]
    sys.argv += [f"--data-dir={folder / 'data'}", f"--output-dir={folder / 'runs'}"]
    sys.argv += ["--methods", "standard", "fgsm", "--set", *SMALL]
    runpy.run_path(str(RECIPES / "reproduce.py"), run_name="__main__")


def started(folder: Path) -> BaseProcess:
    variables = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return fork(reproduce, folder, variables=variables)


def wait_until(ready: Callable[[], object], program: BaseProcess) -> None:
    while program.is_alive() and not ready():
        time.sleep(0.005)
    assert program.is_alive()


def working_in(folder: Path) -> set[int]:
    """Processes that hold the folder's lock."""
    return {
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if opened(pid, folder)
    }


def opened(pid: int, folder: Path) -> bool:
    """Whether one of its open files is the lock; files may close meanwhile."""
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # it has ended, or is another user's
        return False
    return any(target(link) == str(folder / LOCK) for link in links)


def target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_child_left_behind_and_a_restart_do_not_collide(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / "data", CIFAR10, split, 48)
    first, second = (
        tmp_path / "runs/cifar10" / f"smoke-{method}-seed0{suffix(SMALL)}"
        for method in ("standard", "fgsm")
    )
    program = started(tmp_path)
    wait_until(lambda: list(second.glob("checkpoints/step-*")), program)
    (orphan,) = working_in(second)
    os.kill(orphan, signal.SIGSTOP)
    program.kill()
    program.join()
    assert not (second / "results.json").exists()
    finished, begun = files(first), files(second)
    restarted = started(tmp_path)
    log = second / LOG
    wait_until(lambda: "Another process works in" in log.read_text(), restarted)
    assert files(second) == begun | {log: log.read_bytes()}
    os.kill(orphan, signal.SIGCONT)
    restarted.join()
    assert restarted.exitcode == 0
    assert files(first) == finished
    history = json.loads((second / "results.json").read_text())["history"]
    assert [entry["epoch"] for entry in history] == list(range(1, EPOCHS + 1))
    assert (tmp_path / "runs/cifar10/report/report.html").is_file()
