from dataclasses import replace

import cifar10
import photos
import pytest
import reproduce
import tyro
from recipe.settings.experiment import Source
from recipe.settings.overrides import overridden

BASE = cifar10.EXPERIMENT.settings("jafr", "mini")


def refused(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    """What the program says of settings that it refuses, without the box around it."""
    with pytest.raises(SystemExit):
        overridden(BASE, given)
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_values_are_of_their_settings_kind_and_of_the_command_line() -> None:
    given = {"lambda_freq": 0.01, "epochs": 3, "flip": False, "absolute_floor": 2.0}
    given |= {"optimizer": "adam", "batch_norm": "every pass"}
    found = overridden(BASE, [f"{name}={value}" for name, value in given.items()])
    changed = {name for name in vars(BASE) if getattr(found, name) != getattr(BASE, name)}
    assert {name: getattr(found, name) for name in changed} == {
        name: Source.COMMAND_LINE(value) for name, value in given.items()
    }
    assert changed == given.keys()


@pytest.mark.parametrize(
    ("text", "value"), [("flip=false", False), ("flip=true", True), ("absolute_floor=null", None)]
)
def test_values_may_be_written_as_in_config_json(text: str, value: object) -> None:
    name = text.partition("=")[0]
    assert getattr(overridden(BASE, [text]), name) == Source.COMMAND_LINE(value)


@pytest.mark.parametrize("text", ["epoch=3", "epoch_s=3"])
def test_what_sets_nothing_is_named_with_what_could(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, text)
    assert text in said
    assert "--epochs INT" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flip=1", "Expected one of ('True', 'False')"),
        ("train_images=-5", "train_images is -5; it must be 1 or more"),
        ("epochs=0", "epochs is 0; it must be 1 or more"),
        ("epochs", "Missing value for argument '--epochs'"),
        ("=3", "Unrecognized options: --=3"),
        ("pgd_steps=7.0", "invalid literal for int() with base 10: '7.0'"),
        ("penalty_every=true", "invalid literal for int()"),
        ("warmup_epochs=-1", "warmup_epochs is -1; it must be 0 or more"),
        ("momentum=null", "could not convert string to float: 'None'"),
        ("lambda_freq=NaN", "lambda_freq is nan; it must be a finite number"),
        ("absolute_floor=no", "could not convert string to float: 'no'"),
        ("attack_select=max_loss", "Expected one of ('broken', 'max-loss')"),
    ],
)
def test_a_value_of_another_kind_is_refused(
    text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refused(capsys, text)
    assert said in found


@pytest.mark.parametrize("text", ["absolute_floor=None", "best_every=0", "lambda_align=2"])
def test_values_at_the_edge_of_their_kind(text: str) -> None:
    overridden(BASE, [text])


def test_the_demo_offers_only_presets_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(photos.Arguments, args=["--preset", "paper"])
    assert "mini" in capsys.readouterr().err
    for preset in ("mini", "smoke"):
        arguments = tyro.cli(photos.Arguments, args=["--preset", preset])
        (run,) = replace(arguments, methods=("jafr",)).runs(
            photos.EXPERIMENT.settings("jafr", preset)
        )
        assert run.preset == preset


def test_runs_of_other_settings_have_folders_of_their_own() -> None:
    plain, changed = (
        reproduce.task_of(reproduce.Arguments(set=given), "jafr", 0)
        for given in ((), ("lambda_freq=0.5", "model=timm/resnet18"))
    )
    assert plain.folder.name == "mini-jafr-seed0"
    assert changed.folder.name == "mini-jafr-seed0-lambda_freq=0.5-model=timm_resnet18"
    assert plain.folder.parent == changed.folder.parent
