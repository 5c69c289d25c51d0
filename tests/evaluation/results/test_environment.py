"""What a record says of the machine: enough to know whose rounding its numbers have."""

import os
import subprocess
import sys

import torch

from freqreg.evaluation.results import environment as machine


def test_processor_is_named_where_the_system_tells_it(tmp_path, monkeypatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nmodel name\t: Other\n")
    monkeypatch.setattr(machine, "_CPU_INFO", info)
    assert machine.versions(torch.device("cpu"))["device"].startswith("cpu (Some CPU @ 2GHz, ")


def test_processor_has_a_name_elsewhere(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "none")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.versions(torch.device("cpu"))["device"].startswith("cpu (arm64, ")


def test_instructions_are_named_as_torch_was_told_to_use_them() -> None:
    program = "import torch; from freqreg.evaluation.results.environment import versions; "
    program += "print(versions(torch.device('cpu'))['device'])"
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "default"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith((", DEFAULT)", ", NO AVX)"))


def test_devices_without_a_name_of_their_own_are_named_by_their_type() -> None:
    assert machine.versions(torch.device("mps"))["device"] == "mps"
