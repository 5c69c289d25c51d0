"""The kit for a GPU does its parts in order, keeps what ended and goes on where it was cut off."""

import json
from pathlib import Path
from typing import Any

import pytest
from study.on_gpu import runs

from tests.benchmarks import gpu, performance
from tests.benchmarks.gpu import METHODS, Part, Settings, main
from tests.benchmarks.performance_page import NO_GPU

ROW = {"step": "JaFR", "seconds": 0.1, "ratio": 2.0, "expected": 2.0, "flops": 2.0}
COSTS = {
    "program": "step_cost",
    "settings": {"model": "preact", "batch_size": 1, "image_size": 8, "rounds": 1, "smooth": ""}
    | {"precision": "bf16"},
    "machine": "x, some GPU",
    "versions": {"timm": "1"},
    "other_work": 0.0,
    "results": [ROW | {"of_published": None, "mib": 1.0, "memory": 1.0}],
}


def run_of(method: str, clean: float) -> dict[str, Any]:
    measures = {"clean": clean, "fgsm": 0.5, "pgd": 0.4, "log_b_low": 12.0}
    return {
        "method": method,
        "measures": measures,
        "seconds_per_step": 0.02,
        "machine": "some GPU",
    }


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch, *parts: Part, minutes: float = 1.0) -> Any:
    monkeypatch.setattr(gpu, "parts", lambda _: iter(parts))
    with pytest.raises(SystemExit) as ended:
        main(Settings(folder, minutes))
    return ended.value.code


def test_what_is_most_valuable_comes_first() -> None:
    names = [part.name for part in gpu.parts(Settings(data_dir=Path("cifar10"), seeds=2))]
    assert names[:3] == [
        "tests",
        "step_cost-preact-bf16-contiguous",
        "step_cost-preact-bf16-channels_last",
    ]
    assert names.index("rates") < names.index("cifar10-fgsm+jafr-seed0")
    assert {f"cifar10-{method}-seed{seed}" for method in METHODS for seed in range(2)} < set(names)
    assert len(names) == len(set(names))
    untrained = [part.name for part in gpu.parts(Settings())]
    assert not any(name.startswith("cifar10") for name in untrained)


def test_a_part_that_ended_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def part(name: str, found: dict[str, Any] | None) -> Part:
        return Part(name, lambda _: (done.append(name), found)[1])

    parts = part("one", {"a": 1}), part("two", None), part("three", {"b": 2})
    assert begun(tmp_path, monkeypatch, *parts) == 0
    assert begun(tmp_path, monkeypatch, *parts) == 0
    assert done == ["one", "two", "three", "two"]
    assert json.loads((tmp_path / "one.json").read_text()) == {"a": 1}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.json", "three.json"]


def test_one_failure_stops_no_other_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: float) -> dict[str, Any]:
        raise RuntimeError("out of memory")

    sound = Part("sound", lambda _: {"found": 1})
    assert begun(tmp_path, monkeypatch, Part("wrong", fails), sound) == 1
    assert "out of memory" in (tmp_path / "wrong.error").read_text()
    assert (tmp_path / "sound.json").exists()
    mended = Part("wrong", lambda _: {"found": 2})
    assert begun(tmp_path, monkeypatch, mended, sound) == 0
    assert not (tmp_path / "wrong.error").exists()


def test_nothing_begins_when_the_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path, monkeypatch, Part("late", lambda _: {}), minutes=0)
    assert not list(tmp_path.iterdir())


def test_pages_take_what_was_measured(tmp_path: Path) -> None:
    kit, page, folder = tmp_path / "kit", tmp_path / "page.md", tmp_path / "runs"
    kit.mkdir()
    (kit / "step_cost-preact-bf16-contiguous.json").write_text(json.dumps(COSTS))
    (kit / "tests.json").write_text(json.dumps({"passed": True}))
    for seed, clean in enumerate((0.8, 0.9)):
        name = f"cifar10-jafr-seed{seed}.json"
        (kit / name).write_text(json.dumps(run_of("jafr", clean)))
    performance.take(kit, page, folder)
    assert "8 pixels, bf16" in page.read_text()
    (row,) = runs(folder).to_dict("records")
    assert (row["method"], row["seeds"], row["clean"], row["PGD"]) == ("jafr", 2, "85", "40")


def test_without_runs_the_results_say_so() -> None:
    page = (performance.PAGE.parent / "results.md").read_text()
    assert (NO_GPU in page) == runs(performance.RUNS).empty
