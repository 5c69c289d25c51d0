"""The commands of the page "On a cluster", on one machine."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from PIL import Image
from safetensors.torch import save_file
from torch.distributed.run import main

from freqreg.evaluation import evaluate, load_images, load_model
from freqreg.evaluation.benchmark.settings import PRESETS
from freqreg.evaluation.inputs.models import build_network
from freqreg.evaluation.results.records import ModelScores
from tests.docs.blocks import ROOT
from tests.processes import ended, fork, free_port

PAGE = (ROOT / "docs" / "on-a-cluster.md").read_text()
KWARGS = {"num_classes": 4, "image_size": 16}
VARIABLES = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def block(heading: str, number: int = 0) -> str:
    """Of the section under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)[number]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    network = build_network("one_conv", **KWARGS)
    save_file(network.state_dict(), tmp_path / "model" / "model.safetensors")
    config = json.dumps({"model": "one_conv", "kwargs": KWARGS})
    (tmp_path / "model" / "config.json").write_text(config)
    for number, pixels in enumerate(torch.randint(256, (9, 16, 16, 3), dtype=torch.uint8)):
        place = tmp_path / "pictures" / f"class {number % 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.numpy()).save(place / f"{number}.png")
    return tmp_path


def torchrun(folder: Path, output: Path, arguments: list[str]) -> None:
    os.chdir(folder)
    os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), sys.stdout.fileno())
    main(arguments)


def test_two_nodes_have_the_scores_of_one_process(folder, monkeypatch):
    here = {
        "node0": "127.0.0.1",
        "29500": str(free_port()),
        "nproc_per_node 8": "nproc_per_node 1",
        "timm/resnet50 --data imagenet": "model --data pictures --preset smoke "
        "--device cpu --scores clean noise",
    }
    commands = block("Several nodes").replace("torchrun ", "")
    for there, local in here.items():
        assert there in commands
        commands = commands.replace(there, local)
    outputs = [folder / f"{node}.txt" for node in range(2)]
    errors = folder / "errors.txt"
    errors.touch()
    started = partial(fork, torchrun, folder, variables=VARIABLES, output=str(errors))
    nodes = [
        started(output, shlex.split(command))
        for command, output in zip(commands.splitlines(), outputs, strict=True)
    ]
    assert ended(nodes) == [0, 0], errors.read_text()
    printed = [output.read_text() for output in outputs]
    assert "accuracy" in printed[0]
    assert not printed[1]
    monkeypatch.chdir(folder)
    found = ModelScores.load(folder / "evaluations" / "model.json")
    test = load_images("pictures")
    expected = evaluate(load_model("model"), test, ["clean", "noise"], settings=PRESETS["smoke"])
    for name, entry in expected.scores.items():
        assert found.scores[name].values == pytest.approx(entry.values, rel=1e-6)


def test_a_task_of_the_array_runs_its_own_line(tmp_path):
    (tmp_path / "commands.txt").write_text("echo 'of one'\necho 'of two'\necho 'of three'\n")
    job = block("Many runs: a SLURM array", 1)
    done = subprocess.run(
        ["bash", "-c", job],
        cwd=tmp_path,
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "of two\n"


def test_the_printed_commands_are_one_a_line(monkeypatch, capsys):
    command = block("Many runs: a SLURM array").splitlines()[0].partition(" >")[0]
    python, *arguments = shlex.split(command)
    assert python == "python"
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) % 3 == 0
    assert all("--resume" in shlex.split(line) for line in lines)


def test_accelerate_reads_its_file(tmp_path):
    file = tmp_path / "two-gpus.yaml"
    file.write_text(block("With accelerate"))
    read: Any = load_config_from_file(str(file))
    assert (read.num_processes, read.num_machines) == (2, 1)
    assert str(read.distributed_type.value) == "MULTI_GPU"
