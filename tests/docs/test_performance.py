"""The page about performance is what its program writes from what was measured."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import machine
from tests.benchmarks.candidates import CANDIDATES, UNEXPECTED
from tests.benchmarks.cost_model import TIME_THROUGH_GRADIENT, Alternating, Beside, Passes
from tests.benchmarks.machine import OtherWork
from tests.benchmarks.performance import PAGE, Measured, keep
from tests.benchmarks.performance_conditions import disturbance
from tests.benchmarks.performance_page import NO_GPU, page, results
from tests.benchmarks.performance_tables import deviation
from tests.benchmarks.study import METHODS, write_study

RUNS: list[dict[str, Any]] = json.loads(PAGE.with_suffix(".json").read_text())
TOLERANCE = 0.15


PAPER_WIDTH = 64


def rows_of_preact(*widths: int) -> list[dict[str, Any]]:
    """What was measured on PreAct-ResNet-18 of these widths."""
    costs = [run for run in RUNS if run["program"] == "step_cost"]
    return [
        row for run in costs if run["settings"].get("width") in widths for row in run["results"]
    ]


def run_of(steps: dict[str, float], **changed: Any) -> Measured:
    rows = [
        {"step": name, "seconds": ratio, "ratio": ratio, "expected": 2.0, "flops": 1.9}
        | {"of_published": None, "mib": 1.0, "memory": 1.0}
        for name, ratio in steps.items()
    ]
    settings = {"model": "preact", "batch_size": 1, "image_size": 8, "rounds": 1, "smooth": ""}
    measured = Measured("step_cost", settings, "x, no GPU", {"timm": "1"}, 0.0, rows)
    return Measured(**{**vars(measured), **changed})


def test_the_page_is_written_from_its_measurements() -> None:
    assert PAGE.read_text() == page(RUNS)


def test_expected_times_are_those_of_the_table() -> None:
    """On the network of the paper, 15 % from each measured step at most.

    At a quarter of its width overhead shows, for which the page gives its own figures.
    """
    rows = rows_of_preact(PAPER_WIDTH)
    assert {row["step"] for row in rows} >= {"JaFR", "FGSM", "FGSM + JaFR"}
    for row in rows:
        if row["step"] not in UNEXPECTED:
            assert row["expected"] == round(CANDIDATES[row["step"]].expected.time, 3), row
            assert deviation(row) <= TOLERANCE, row


def test_counted_operations_are_those_of_the_passes() -> None:
    """Fourier transforms and the first layer, whose input gradient a plain step saves, aside."""
    for row in rows_of_preact(PAPER_WIDTH, 16):
        assert row["flops"] == pytest.approx(CANDIDATES[row["step"]].expected.products, rel=0.03)


def test_the_model_on_the_page_is_that_of_the_program() -> None:
    assert f"{TIME_THROUGH_GRADIENT:g} fwd of time" in PAGE.read_text()
    jafr = Passes(1, to_input=1, through_gradient=1)
    assert (jafr.products, round(jafr.time, 2)) == (2, 2.17)
    assert Alternating(jafr, plain=3).products == pytest.approx(3.75 / 3)
    assert Beside(jafr, share=0.25).products == 1.5


EXACT = PAGE.parent / "methods" / "double-backprop.md"
README = PAGE.parents[1] / "README.md"


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (("JaFR", "JaFR, smooth", "double backprop"), "{} times"),
        (("FGSM + JaFR", "double backprop, with FGSM"), "with FGSM {} "),
        (("double backprop, with FGSM, streamed",), "{} "),
    ],
)
def test_memory_is_told_as_measured(steps: tuple[str, ...], words: str) -> None:
    told = words.format(span("step_cost", "memory", steps=steps))
    assert told in " ".join(EXACT.read_text().split())


@pytest.mark.parametrize(
    ("step", "words"),
    [("JaFR", "with JaFR takes {} times"), ("FGSM + JaFR", "with FGSM + JaFR {} times")],
)
def test_the_readme_tells_the_time_as_measured(step: str, words: str) -> None:
    told = words.format(span("step_cost", steps=(step,), quantity="ratio"))
    assert told in " ".join(README.read_text().split())


def span(*programs: str, steps: tuple[str, ...], quantity: str = "memory") -> str:
    """The least and the most that these programs measured of the steps, over a plain step."""
    found = [
        row[quantity if quantity in row else "made"]
        for run in RUNS
        for row in run["results"]
        if run["program"] in programs and row["step"] in steps
    ]
    return f"{min(found):.1f} to {max(found):.1f}"


def test_a_newer_run_replaces_the_older_and_a_gpu_s_stands_beside(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    for run in (
        run_of({"JaFR": 2.0}),
        run_of({"JaFR": 2.1}),
        run_of({"JaFR": 2.2}, machine="x, some GPU"),
    ):
        keep(run, path)
    kept = json.loads(path.with_suffix(".json").read_text())
    assert sorted(run["results"][0]["ratio"] for run in kept) == [2.1, 2.2]
    assert "| 2.10 |" in path.read_text()


def test_what_was_not_measured_is_said() -> None:
    run = json.loads(json.dumps(vars(run_of({"JaFR": 2.5}))))
    assert NO_GPU in page([run])
    assert "at most 20% apart (JaFR)" in results("step_cost", [run])
    assert "On a CPU: not measured." in results("scaling", [run])


def test_what_holds_of_all_tables_is_said_once() -> None:
    runs = [json.loads(json.dumps(vars(run_of({"JaFR": ratio})))) for ratio in (2.0, 2.5)]
    assert page(runs).count("no GPU, timm 1") == page(runs).count(NO_GPU) == 1
    assert "| JaFR | 2.0 to 2.5 | 1.0 | 2 |" in page(runs)
    runs[1]["machine"] = "x, some GPU"
    assert page(runs).count("no GPU, timm 1") == page(runs).count("some GPU, timm 1") == 1
    assert page(runs).count(NO_GPU) == 4, "of each program that has no run on one"


def in_format(name: str, **changed: float) -> dict[str, Any]:
    run = json.loads(json.dumps(vars(run_of({"JaFR": 2.0}))))
    run["settings"]["memory_format"] = name
    run["results"][0].update(changed)
    return run


def test_memory_formats_share_a_table_where_times_alone_differ() -> None:
    first = in_format("contiguous")
    shared = results("step_cost", [first, in_format("channels_last", seconds=1.0, ratio=2.25)])
    assert shared.count("###") == 1
    assert "| JaFR | 2 | 2.00 | 1 | 2.25 | 2.00 |" in shared
    apart = results("step_cost", [first, in_format("channels_last", mib=2.0)])
    assert apart.count("###") == 2
    assert "pixels, channels last" in apart


@pytest.mark.parametrize(("cores", "said"), [(0.0, "was idle"), (1.2, "**not** idle")])
def test_a_disturbed_measurement_says_so(cores: float, said: str) -> None:
    assert said in disturbance(cores)


def test_the_study_takes_quiet_and_whole_measurements(tmp_path: Path) -> None:
    file, steps = tmp_path / "results" / "step_cost.json", dict.fromkeys(METHODS, 2.0)
    write_study(run_of(steps), file)
    assert json.loads(file.read_text())["flop_limits"] == dict.fromkeys(METHODS, 1.9)
    with pytest.raises(SystemExit, match="idle machine"):
        write_study(run_of(steps, other_work=0.5), file)
    with pytest.raises(SystemExit, match="PGD-10"):
        write_study(run_of(dict.fromkeys(METHODS[:-1], 2.0)), file)


def test_one_s_own_work_is_not_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four seconds, in which a core was busy all the time, half of it with us."""
    for name, values in {"_busy_seconds": (10, 14), "_own_seconds": (1, 3)}.items():
        monkeypatch.setattr(machine, name, iter(values).__next__)
    monkeypatch.setattr(machine.time, "monotonic", iter((0, 4)).__next__)
    assert OtherWork().cores() == 0.5


def test_the_environment_is_kept_with_the_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "12345")
    run = Measured.now("memory", {}, [], OtherWork())
    assert "MALLOC_TRIM_THRESHOLD_=12345" in run.machine
