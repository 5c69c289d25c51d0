from pathlib import Path

import mini
import pytest
import torch
from mini import Arguments
from recipe.mini_cells import CHOOSING, LAMBDAS, SEEDS, Cell, Stage, cells
from recipe.records import Results
from tiny_experiment import EXPERIMENT, images

from freqreg.errors import SettingError


@pytest.mark.parametrize(("stage", "count"), [(1, 80), (2, 9), (3, 12)])
def test_stages_have_their_cells_seed_by_seed(stage: Stage, count: int) -> None:
    found = cells(stage)
    assert len({cell.name for cell in found}) == len(found) == count
    assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
    assert {cell.seed for cell in found} == set(SEEDS[stage])
    assert {cell.seed for cell in cells(stage, (CHOOSING,))} == {CHOOSING}


def test_a_cell_is_named_by_what_it_changes() -> None:
    names = {cell.name for cell in cells(1, (0,)) if cell.method == "fgsm+jafr"}
    assert names == {f"fgsm+jafr-lambda_freq={size}-seed0" for size in LAMBDAS}


def test_seeds_that_choose_are_measured_on_train_images_held_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = images(), images(10, seed=1)
    monkeypatch.setattr(mini, "load", lambda _: (train, test))
    monkeypatch.setattr(mini, "HELD_OUT", 8)
    assert mini.images_for(Cell(1, "fgsm", CHOOSING - 1), None) == (train, test)
    rest, held_out = mini.images_for(Cell(1, "fgsm", CHOOSING), None)
    assert torch.equal(torch.cat([rest.pixels, held_out.pixels]), train.pixels)
    assert len(held_out) == 8


def test_reported_seeds_take_no_other_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--seeds from 100"):
        mini.main(Arguments(1, work_dir=tmp_path, set=("epochs=1",), list=True))


def test_a_cell_leaves_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mini, "load", lambda _: (images(), images(10, seed=1)))
    monkeypatch.setattr(mini, "EXPERIMENT", EXPERIMENT)
    monkeypatch.setattr(mini, "HELD_OUT", 8)
    small = ("epochs=1", "batch_size=8", "attack_steps=1")
    arguments = Arguments(
        1,
        work_dir=tmp_path / "work",
        results_dir=tmp_path / "results",
        seeds=(CHOOSING,),
        match="nfgsm",
        set=small,
        cell="nfgsm-seed100",
    )
    mini.main(arguments)
    (cell,) = arguments.chosen()
    assert arguments.result(cell).parent == tmp_path / "results/stage1"
    assert Results.read(arguments.folder(cell)) is not None
    assert mini.task_of(arguments, cell).finished()
