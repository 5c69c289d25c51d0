"""The launcher's command line: what it means, and what it says."""

from pathlib import Path

import pytest

from freqreg import (
    APR,
    CURE,
    ELLE,
    FGSM,
    LLR,
    NFGSM,
    PGD,
    FiniteDifference,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Mix,
    MultiGrad,
    Objective,
    ZeroGrad,
)
from freqreg.integrations._timm.options import parsed


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.touch()
    return str(path)


MEANT = {
    "--freqreg-jafr 1e-3": Objective([JaFR(1e-3)]),
    "--freqreg-jafr -1e-3": Objective([JaFR(-1e-3)]),
    "--freqreg-jafr=-0.01 --freqreg-sync": Objective([JaFR(-0.01, sync=True)]),
    "--freqreg-jafr 1 --freqreg-jafr-target 14": Objective([JaFR(1, target=14)]),
    "--freqreg-fourier 0.5": Objective([FourierSensitivity(0.5)]),
    "--freqreg-fourier 2 --freqreg-favour high --freqreg-fourier-target 0.3": Objective(
        [FourierSensitivity(2, "high", target=0.3)]
    ),
    "--freqreg-fourier 1 --freqreg-sync": Objective([FourierSensitivity(1, sync=True)]),
    "--freqreg-grad-align 0.2": Objective([GradAlign(0.2)]),
    "--freqreg-grad-align 0.2 --freqreg-eps 0.1": Objective([GradAlign(0.2, 0.1)]),
    "--freqreg-input-gradient-norm 2": Objective([InputGradientNorm(2)]),
    "--freqreg-input-gradient-norm 0.1 --freqreg-order 1": Objective([InputGradientNorm(0.1, 1)]),
    "--freqreg-elle 1000": Objective([ELLE(1000)]),
    "--freqreg-llr 3 --freqreg-eps 0.1": Objective([LLR(3, 0.1)]),
    "--freqreg-cure 0.1 --freqreg-mixer zerograd": Objective([CURE(0.1)], ZeroGrad()),
    "--freqreg-mixer multigrad --freqreg-eps 0.05": Objective(mixer=MultiGrad(0.05)),
    "--freqreg-mixer apr": Objective(mixer=Mix(APR(), fraction=0.5)),
    "--freqreg-mixer fgsm": Objective(mixer=FGSM()),
    "--freqreg-mixer rs-fgsm": Objective(mixer=FGSM(start="random")),
    "--freqreg-mixer n-fgsm --freqreg-eps 0.05": Objective(mixer=NFGSM(0.05)),
    "--freqreg-mixer pgd --freqreg-jafr 1": Objective([JaFR(1)], PGD()),
    "--freqreg-jafr 1 --freqreg-finite-difference 0.01": Objective(
        [JaFR(1)], differentiation=FiniteDifference(0.01)
    ),
}


@pytest.mark.parametrize(("options", "objective"), MEANT.items(), ids=MEANT)
def test_options_are_an_objective(options: str, objective: Objective, script: str) -> None:
    arguments = ["DATA", "--lr", "-1e-3", "--freqreg-jafr", "7"]
    assert parsed([*options.split(), script, *arguments]) == (objective, script, arguments)


WRONG = {
    "": "nothing to add",
    "--freqreg-sync": "--freqreg-sync has no effect without --freqreg-jafr or --freqreg-fourier",
    "--freqreg-fourier 1 --freqreg-jafr-target 14": "has no effect without --freqreg-jafr:",
    "--freqreg-jafr 1 --freqreg-fourier-target 0": "has no effect without --freqreg-fourier:",
    "--freqreg-jafr 1 --freqreg-favour low": "has no effect without --freqreg-fourier:",
    "--freqreg-jafr 1 --freqreg-order 2": "has no effect without --freqreg-input-gradient-norm:",
    "--freqreg-jafr 1 --freqreg-eps 0": "no effect without --freqreg-mixer or --freqreg-grad-align",
    "--freqreg-mixer pgd --freqreg-finite-difference 0.01": "--freqreg-finite-difference has no",
    "--freqreg-jafr much": "invalid float value: 'much'",
    "--freqreg-jaf 1": "--freqreg-jaf",
    "--freqreg-mixer cw": "choose from",
    "--freqreg-fourier 1 --freqreg-favour lowest": "choose from",
    "--freqreg-fourier 1 --freqreg-fourier-target 30": "a share lies in",
    "--freqreg-mixer fgsm --freqreg-eps 8": "Give it in units of that range",
    "--freqreg-jafr nan": "must be a finite number",
}


@pytest.mark.parametrize(("options", "said"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_meant_is_said(
    options: str, said: str, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed([*options.split(), script])
    assert said in capsys.readouterr().err


def test_a_script_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed(["--freqreg-jafr", "1", "nowhere/train.py"])
    assert "there is no file nowhere/train.py" in capsys.readouterr().err


def test_the_help_can_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit, match="0"):
        parsed(["--help"])
    text = capsys.readouterr().out
    assert text.startswith("usage: python -m freqreg.integrations.timm [launcher's options] script")
    assert "favour high frequencies" in text
    assert "torchrun --nproc-per-node 4 -m freqreg.integrations.timm" in text
    assert max(map(len, text.splitlines())) <= 100
