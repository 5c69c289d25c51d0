"""Training scripts that know nothing of freqreg, run by `python -m freqreg.integrations.timm`."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from freqreg import FiniteDifference, JaFR, Objective, PixelSpace
from freqreg.errors import SettingError
from freqreg.integrations._timm import launcher
from freqreg.integrations.timm import regularize
from tests.integrations import timm_distributed
from tests.integrations.process_parts import difference
from tests.integrations.timm_parts import write_images
from tests.processes import in_processes

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # timm's readers

FOLDER = Path(__file__).parent
DISTRIBUTED = str(FOLDER / "timm_distributed.py")
OPTIONS = ("--freqreg-jafr", "0.3", "--freqreg-sync")
Weights = dict[str, dict[str, Tensor]]


@pytest.fixture(autouse=True)
def own_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """What running a script changes: its arguments and its folder on the path."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", [*sys.path])


def launched(weights: Path, *options: str) -> Weights:
    launcher.main([*options, DISTRIBUTED, str(weights)])
    return torch.load(weights)


def as_program(*arguments: str) -> None:
    sys.argv = ["timm", *arguments]
    runpy.run_module("freqreg.integrations.timm", run_name="__main__", alter_sys=True)


def assert_equal(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys() == {"classification", "distillation"}
    for task, weights in expected.items():
        assert found[task].keys() == weights.keys()
        assert difference(flat(found[task]), flat(weights)) < 1e-10


def flat(weights: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in weights.values()])


def test_the_script_s_tasks_are_regularized(tmp_path: Path) -> None:
    found = launched(tmp_path / "weights.pt", *OPTIONS)
    objective = Objective([JaFR(0.3)])
    tasks, batch = timm_distributed.tasks(), timm_distributed.batch(0, 1)
    expected = {
        name: timm_distributed.train(regularize(task, objective), *batch)
        for name, task in tasks.items()
    }
    assert_equal(found, expected)


def test_the_script_alone_trains_otherwise_and_is_itself_again(tmp_path: Path) -> None:
    regularized = launched(tmp_path / "weights.pt", *OPTIONS)
    timm_distributed.main(str(tmp_path / "plain.pt"))
    plain = torch.load(tmp_path / "plain.pt")
    for task, weights in plain.items():
        assert difference(flat(regularized[task]), flat(weights)) > 1e-4
    tasks, batch = timm_distributed.tasks(), timm_distributed.batch(0, 1)
    assert_equal(
        {name: timm_distributed.train(task, *batch) for name, task in tasks.items()}, plain
    )


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    in_processes(2, as_program, *OPTIONS, DISTRIBUTED, str(tmp_path / "two.pt"))
    assert_equal(torch.load(tmp_path / "two.pt"), launched(tmp_path / "one.pt", *OPTIONS))


TRAINING = {
    "bfloat16, Mixup, accumulation and EMA": (
        ("--freqreg-jafr", "0.05", "--freqreg-mixer", "fgsm"),
        "--amp --amp-dtype bfloat16 --mixup 0.2 --grad-accum-steps 2 --model-ema --clip-grad 1",
    ),
    "compilation": (
        ("--freqreg-jafr", "-5e-2", "--freqreg-finite-difference", "1e-2"),
        "--torchcompile eager --model test_convnext --channels-last --no-prefetcher",
    ),
}


def trained(tmp_path: Path, options: tuple[str, ...], arguments: str) -> Any:
    """The objective with which the usual script trained an epoch; its checkpoint is checked."""
    used: list[Objective] = []
    turn = launcher.turn_regularized

    def noting(*given: Any) -> Any:
        used.append(turn(*given).objective)
        return given[0]

    images = write_images(tmp_path / "images")
    script = [str(FOLDER / "timm_training.py"), str(images), "--output", str(tmp_path / "out")]
    common = ["--num-classes", "2", "--batch-size", "8", "--epochs", "1", "--lr", "0.01"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "turn_regularized", noting)
        launcher.main([*options, *script, *common, *arguments.split()])
    (saved,) = (tmp_path / "out").rglob("last.pth.tar")
    weights = torch.load(saved, weights_only=False)["state_dict"]
    assert all(value.isfinite().all() for value in weights.values())
    (objective,) = used
    return objective


@pytest.mark.parametrize(("options", "arguments"), TRAINING.values(), ids=TRAINING)
def test_what_a_script_does_besides_goes_on(
    options: tuple[str, ...], arguments: str, tmp_path: Path
) -> None:
    objective = trained(tmp_path, options, arguments)
    assert objective.regularizers == (JaFR(float(options[1])),)
    assert isinstance(objective.differentiation, FiniteDifference) == ("compile" in arguments)


def test_pixels_are_those_by_which_the_script_normalises(tmp_path: Path) -> None:
    statistics = "--mean 0.5 0.4 0.3 --std 0.2 0.25 0.3"
    objective = trained(tmp_path, ("--freqreg-mixer", "fgsm"), statistics)
    assert objective.pixels == PixelSpace((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def test_a_script_without_a_task_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import torch\n"
        "model = torch.nn.Linear(2, 1)\n"
        "model(torch.ones(1, 2)).sum().backward()\n"
        "torch.optim.SGD(model.parameters(), lr=0.1).step()\n"
    )
    with pytest.raises(SettingError, match="without a training task"):
        launcher.main(["--freqreg-jafr", "0.1", str(script)])
