import cifar10
import photos
import pytest
import reproduce
import tyro
from recipe.settings.experiment import Source
from recipe.settings.overrides import overrides

from freqreg.errors import SettingError


def test_values_are_numbers_where_they_can_be_and_else_text() -> None:
    given = ["lambda_freq=0.01", "epochs=3", "flip=false", "absolute_floor=null", "optimizer=adam"]
    changes = overrides(given)
    assert [item.value for item in changes.values()] == [0.01, 3, False, None, "adam"]
    assert {item.source for item in changes.values()} == {Source.COMMAND_LINE}


@pytest.mark.parametrize("text", ["epochs", "epoch=3", "=3"])
def test_what_sets_nothing_is_named_with_what_could(text: str) -> None:
    with pytest.raises(SettingError, match=f"{text!r} sets nothing.*epochs"):
        overrides([text])


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("flip=False", "true or false"),
        ("flip=1", "true or false"),
        ("train_images=-5", "a whole number, 1 or more"),
        ("epochs=0", "a whole number, 1 or more"),
        ("pgd_steps=7.0", "a whole number, 1 or more"),
        ("penalty_every=true", "a whole number, 1 or more"),
        ("warmup_epochs=-1", "a whole number, 0 or more"),
        ("momentum=null", "a finite number"),
        ("lambda_freq=NaN", "a finite number"),
        ("absolute_floor=None", "a finite number or null"),
        ("attack_select=max_loss", "'broken' or 'max-loss'"),
        ("model=18", "text"),
    ],
)
def test_a_value_of_another_kind_is_refused(text: str, needed: str) -> None:
    with pytest.raises(SettingError, match=f"{text.partition('=')[0]} is .*must be {needed}"):
        cifar10.EXPERIMENT.settings("jafr", "mini", overrides([text]))


@pytest.mark.parametrize("text", ["absolute_floor=null", "best_every=0", "lambda_align=2"])
def test_values_at_the_edge_of_their_kind(text: str) -> None:
    cifar10.EXPERIMENT.settings("jafr", "mini", overrides([text]))


def test_the_demo_offers_only_presets_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(photos.Arguments, args=["--preset", "paper"])
    assert "mini" in capsys.readouterr().err
    for preset in ("mini", "smoke"):
        tyro.cli(photos.Arguments, args=["--preset", preset]).run("jafr")


def test_runs_of_other_settings_have_folders_of_their_own() -> None:
    plain, changed = (
        reproduce.task_of(reproduce.Arguments(set=given), "jafr", 0)
        for given in ((), ("lambda_freq=0.5", "model=timm/resnet18"))
    )
    assert plain.folder.name == "mini-jafr-seed0"
    assert changed.folder.name == "mini-jafr-seed0-lambda_freq=0.5-model=timm_resnet18"
    assert plain.folder.parent == changed.folder.parent
