"""What a record says of the machine: enough to know whose rounding its numbers have."""

import torch

from freqreg.evaluation.results import environment as machine


def test_processor_and_instructions_are_named(tmp_path, monkeypatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2GHz\nmodel name\t: Other\n")
    monkeypatch.setattr(machine, "_CPU_INFO", info)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert machine.versions(torch.device("cpu"))["device"] == "cpu (Some CPU @ 2GHz, AVX2)"


def test_processor_has_a_name_elsewhere(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(machine, "_CPU_INFO", tmp_path / "none")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.versions(torch.device("cpu"))["device"].startswith("cpu (arm64, ")


def test_devices_without_a_name_of_their_own_are_named_by_their_type() -> None:
    assert machine.versions(torch.device("mps"))["device"] == "mps"
