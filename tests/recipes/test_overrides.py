import pytest
from recipe.overrides import overrides
from recipe.settings import Source

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
