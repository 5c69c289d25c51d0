import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from recipe.settings.experiment import preset
from recipe.tasks import Task
from study.mini import rerun as mini_rerun
from study.mini import run as mini
from study.mini import runs as mini_cells
from study.mini.rerun import Arguments, main
from tiny_experiment import EXPERIMENT, images

from freqreg.errors import SettingError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a tiny cell that was run."""
    monkeypatch.setattr(mini, "load", lambda _: (images(), images(10, seed=1)))
    monkeypatch.setattr(mini, "EXPERIMENT", EXPERIMENT)
    settings = preset(epochs=1, batch_size=8, attack_steps=1)
    plan = replace(mini_cells.STAGES[1], settings=settings)
    monkeypatch.setitem(mini_cells.STAGES, 1, plan)
    monkeypatch.setattr(mini_rerun, "run_tasks", in_this_process)
    mini.main(mini.Arguments(1, None, tmp_path / "work", tmp_path, (0,), cell="fgsm-seed0"))
    return tmp_path / "stage1" / "fgsm-seed0.json"


def in_this_process(tasks: Sequence[Task], *, jobs: int, threads: int) -> list[Task]:
    """The cells' own command lines, without new processes."""
    for task in tasks:
        options = dict(option.split("=") for option in task.command if option.startswith("--w"))
        results = next(o.split("=")[1] for o in task.command if o.startswith("--results-dir"))
        work = Path(options["--work-dir"])
        mini.main(mini.Arguments(1, None, work, Path(results), (0,), cell=task.name))
    return []


def test_a_cell_is_the_same_again(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(Arguments(file))
    assert "figures are the same" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "name", "told"),
    [("measures", "pgd", "measures.pgd: was 0.123"), ("history", 0, "history.0.clean: was 0.123")],
)
def test_what_differs_is_told(file: Path, part: str, name: str | int, told: str) -> None:
    content = json.loads(file.read_text())
    if isinstance(name, int):
        content[part][name]["clean"] = 0.123
    else:
        content[part][name] = 0.123
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=told):
        main(Arguments(file))


def test_seconds_are_no_figure() -> None:
    scores = {"pgd": {"values": {"accuracy": 0.5}, "seconds": 1.0}}
    before = {"measures": {"clean": 0.5}, "seconds_per_step": 1.0, "scores": scores}
    assert dict(mini_rerun.figures(before)) == {
        "measures.clean": 0.5,
        "scores.pgd.values.accuracy": 0.5,
    }


def test_a_file_of_no_cell_is_refused(file: Path) -> None:
    other = file.with_name("mine.json")
    other.write_text(file.read_text())
    with pytest.raises(SettingError, match="not named after a cell"):
        main(Arguments(other))
