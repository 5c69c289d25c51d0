import logging
import multiprocessing
import os
import sys
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Timer

import pytest
from recipe.tasks import LOG, VISIBLE, Task, alone_in, run_tasks, usable_cores

FORKS = multiprocessing.get_context("fork")


def task(folder: Path, code: str, *, done: bool = False) -> Task:
    return Task(folder.name, [sys.executable, "-Sc", code], folder, lambda: done)


def test_open_tasks_run_and_the_failed_are_returned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = task(tmp_path / "good", "import os; print(os.environ['OMP_NUM_THREADS'])")
    bad = task(tmp_path / "bad", "raise SystemExit('no')")
    done = task(tmp_path / "done", "print(1)", done=True)
    assert run_tasks([bad, good, done], jobs=2, threads=3) == [bad]
    assert (good.folder / LOG).read_text() == "3\n"
    assert (bad.folder / LOG).read_text() == "no\n"
    assert not done.folder.exists()
    assert "1 of 3 are finished." in capsys.readouterr().out


def test_each_of_several_gpus_runs_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv(VISIBLE, "5,7")
    code = f"import os, time; time.sleep(0.5); print(os.environ['{VISIBLE}'])"
    tasks = [task(tmp_path / name, code) for name in "abcd"]
    assert not run_tasks(tasks, jobs=2, threads=1)
    seen = [(each.folder / LOG).read_text().strip() for each in tasks]
    assert set(seen[:2]) == set(seen[2:]) == {"5", "7"}


def test_more_tasks_than_gpus_share_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv(VISIBLE, raising=False)
    code = f"import os, time; time.sleep(0.5); print(os.environ['{VISIBLE}'])"
    tasks = [task(tmp_path / name, code) for name in "abcd"]
    assert not run_tasks(tasks, jobs=4, threads=1)
    assert sorted((each.folder / LOG).read_text().strip() for each in tasks) == list("0011")


def hold(folder: Path, holding: Event) -> None:
    with alone_in(folder):
        holding.set()
        multiprocessing.Event().wait()


def test_a_folder_is_free_again_once_its_process_is_killed(tmp_path: Path) -> None:
    entered = FORKS.Event(), FORKS.Event()
    one, other = (FORKS.Process(target=hold, args=(tmp_path, event)) for event in entered)
    one.start()
    assert entered[0].wait(5)
    other.start()
    assert not entered[1].wait(0.3)
    one.kill()
    assert entered[1].wait(5)
    other.kill()
    one.join()
    other.join()


def test_who_waits_for_a_folder_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with alone_in(tmp_path):
        assert not caplog.messages
    entered = FORKS.Event()
    other = FORKS.Process(target=hold, args=(tmp_path, entered))
    other.start()
    assert entered.wait(5)
    Timer(0.2, other.kill).start()
    with alone_in(tmp_path):
        assert caplog.messages == [
            f"Another process works in {tmp_path}. Waiting until it has ended."
        ]
        assert not other.is_alive()


def test_cores_are_counted_on_any_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert usable_cores() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
