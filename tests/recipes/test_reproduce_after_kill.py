"""reproduce.py killed by SIGKILL and started again runs nothing twice and loses nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from conftest import RECIPES
from recipe.hub import CIFAR10
from recipe.tasks import LOG
from schema_true import write_parquet

SMALL = ("model=one_conv", "epochs=40", "batch_size=8", "attack_steps=1", "attacked_images=4")


def reproduce(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(RECIPES / "reproduce.py"), "--seeds=1", "--preset=smoke"]
    command += ["--jobs=1", f"--data-dir={folder / 'data'}", f"--output-dir={folder / 'runs'}"]
    command += ["--methods", "standard", "fgsm", "--set", *SMALL]
    variables = {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=os.environ | variables)


def test_a_child_left_behind_and_a_restart_do_not_collide(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / "data", CIFAR10, split, 48)
    first, second = (
        tmp_path / "runs/cifar10" / f"smoke-{method}-seed0" for method in ("standard", "fgsm")
    )
    program = reproduce(tmp_path)
    while program.poll() is None and not list(second.glob("checkpoints/step-*")):
        time.sleep(0.005)
    program.kill()  # its child goes on
    program.wait()
    assert not (second / "results.json").exists()
    finished = {path: path.read_bytes() for path in first.glob("*") if path.is_file()}
    assert reproduce(tmp_path).wait() == 0
    assert {path: path.read_bytes() for path in first.glob("*") if path.is_file()} == finished
    history = json.loads((second / "results.json").read_text())["history"]
    assert [entry["epoch"] for entry in history] == list(range(1, 41))
    print((second / LOG).read_text())
    assert (tmp_path / "runs/cifar10/report/report.html").is_file()
