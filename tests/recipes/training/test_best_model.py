"""The best model of a run is chosen by PGD on train images, and choosing it leaves no trace."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from recipe.results.files import Results
from recipe.results.measures import measures_of
from recipe.results.terminal_table import print_table
from recipe.training.best_model import BEST, Selection, Weights, selection
from recipe.training.run import Run, make_trainer, perform
from recipe.training.trainer import RecipeTrainer
from safetensors.torch import load_file
from tiny_experiment import images, run
from torch import nn

from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.inputs.examples import unit_range
from freqreg.evaluation.inputs.models import load_model
from tests.processes import in_processes

TRAIN, TEST = images(), images(10, seed=1)
RESULTS = Path(__file__).parents[3] / "recipes" / "study" / "results"
CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


class Scripted:
    """Numbers that `Selection.correct` shall return, one after the other, and what it was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *numbers: int, seconds: float = 0) -> None:
        self.numbers, self.seen, self.seconds = iter(numbers), [], seconds
        monkeypatch.setattr(Selection, "correct", lambda _, weights: self(weights))

    def __call__(self, weights: Weights) -> int:
        time.sleep(self.seconds)
        self.seen.append({name: value.clone() for name, value in weights.items()})
        return next(self.numbers)


def performed(job: Run, *, resume: bool = False) -> Results:
    return perform(job, TRAIN, TEST, Accelerator(cpu=True), resume=resume)


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_first_of_the_most_robust_is_kept_beside_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = Scripted(monkeypatch, 2, 4, 4, 1)
    results = performed(run(tmp_path))
    assert results.best is not None
    assert (results.steps, results.best.step, results.best.pgd) == (15, 8, 4 / 5)
    assert len(given.seen) == 4  # at steps 4, 8, 12 and 15, the last
    assert same(load_file(tmp_path / BEST / "model.safetensors"), given.seen[1])
    assert same(load_file(tmp_path / "model.safetensors"), given.seen[3])
    best = load_model(tmp_path / BEST)
    assert results.best.measures == measures_of(best.model, TEST, run(tmp_path).settings)
    assert results.best.measures != results.measures
    assert (best.method, best.seed, best.config["step"]) == ("jafr (best)", 0, 8)
    assert Results.read(tmp_path) == results
    print_table([results], title="tiny")
    assert f"step 8 │   {100 * results.best.measures.clean:.2f}" in capsys.readouterr().out


def test_the_figure_is_that_of_pgd_on_the_first_train_images(tmp_path: Path) -> None:
    results = performed(run(tmp_path, model="one_conv", best_images=40, best_attack_steps=3))
    assert results.best is not None
    assert (results.best.images, results.best.held_out) == (40, False)
    model = load_model(tmp_path / BEST).model
    attack = PGDAttack(8 / 255, steps=3, step_size=2 / 255, restarts=1)
    attacked = attack.run(model, TRAIN.pixels, TRAIN.labels)
    assert 0 < attacked.accuracy == results.best.pgd
    right = model(unit_range(TRAIN.pixels)).argmax(1) == TRAIN.labels
    assert results.best.pgd < right.double().mean().item()  # so the attack does attack


@pytest.mark.parametrize(
    ("trained", "begin", "held_out"), [(30, 30, True), (35, 35, True), (36, 0, False)]
)
def test_images_that_are_not_trained_on_choose_where_there_are_enough(
    trained: int, begin: int, held_out: bool, tmp_path: Path
) -> None:
    settings = run(tmp_path, train_images=trained).settings
    found = selection(nn.Identity(), TRAIN, settings, CPU)
    assert found is not None
    assert torch.equal(found.images.pixels, TRAIN.pixels[begin : begin + 5])
    assert found.held_out == held_out
    trainer = make_trainer(run(tmp_path, train_images=trained), TRAIN, TEST, Accelerator(cpu=True))
    assert trainer.steps_per_epoch == trained // 8


def test_of_images_that_lie_class_by_class_the_choosing_ones_are_of_all(tmp_path: Path) -> None:
    by_class = TRAIN.select(TRAIN.labels.argsort(stable=True))
    found = selection(nn.Identity(), by_class, run(tmp_path, train_images=30).settings, CPU)
    assert found is not None
    assert set(found.images.labels.tolist()) == {0, 1, 2}
    trained = by_class.first(30).index.tolist()
    assert len(found.images) == len(set(found.images.index.tolist()).difference(trained)) == 5


def test_choosing_changes_nothing_of_the_last_model(tmp_path: Path) -> None:
    """N-FGSM draws from the global generator at each step; the network has batch norm."""
    often = performed(run(tmp_path / "often", "nfgsm", best_every=1))
    never = performed(run(tmp_path / "never", "nfgsm", best_every=0))
    assert often.best is not None
    assert never.best is None
    assert not (tmp_path / "never" / BEST).exists()
    assert (often.measures, often.history) == (never.measures, never.history)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("often", "never")]
    assert weights[0] == weights[1]


def test_its_time_is_not_counted_in_that_of_a_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scripted(monkeypatch, *range(5), seconds=0.5)
    results = performed(run(tmp_path, model="one_conv", epochs=1, best_every=1))
    assert results.seconds_per_step < 0.25


def test_a_resumed_run_keeps_the_best_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in step 13, after the checkpoint of step 12; the best was that of step 4."""
    given = Scripted(monkeypatch, 3, 1, 1)
    trainer = make_trainer(run(tmp_path), TRAIN, TEST, Accelerator(cpu=True))
    monkeypatch.setattr(trainer, "_train_batch", stop_at(trainer, 12))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    found = Scripted(monkeypatch, 2)
    results = performed(run(tmp_path), resume=True)
    assert len(found.seen) == 1
    assert results.best is not None
    assert (results.best.step, results.best.pgd) == (4, 3 / 5)
    assert same(load_file(tmp_path / BEST / "model.safetensors"), given.seen[0])


def one_of_two(folder: Path) -> None:
    accelerator = Accelerator(cpu=True)
    job = run(folder / "run", epochs=2, best_every=1, best_images=40)
    results = perform(job, images(), images(10, seed=1), accelerator, resume=False)
    results.save(folder / f"{accelerator.process_index}.json")


def test_two_processes_agree_on_the_main_ones_best(tmp_path: Path) -> None:
    """Their batch norms have seen different images, so their own figures would differ."""
    in_processes(2, one_of_two, tmp_path)
    best, others = (Results.load(tmp_path / f"{rank}.json").best for rank in range(2))
    assert best is not None
    assert best == others
    model = load_model(tmp_path / "run" / BEST).model
    attack = PGDAttack(8 / 255, steps=1, restarts=1)
    assert best.pgd == attack.run(model, TRAIN.pixels, TRAIN.labels).accuracy


def stop_at(trainer: RecipeTrainer, step: int) -> Any:
    train_batch = trainer._train_batch

    def stopped(*batch: torch.Tensor) -> None:
        if trainer.progress.step == step:
            raise KeyboardInterrupt
        train_batch(*batch)

    return stopped


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("**/stage1/fgsm-*.json")), ids=lambda path: path.stem
)
def test_results_of_before_there_was_a_best_are_read(path: Path) -> None:
    results = Results.load(path)
    assert results.best is None
    assert 0 < results.measures.clean < 1
