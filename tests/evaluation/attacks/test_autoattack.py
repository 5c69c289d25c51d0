import sys

import pyautoattack
import pytest
import torch
from torch import Tensor

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.attacks.autoattack import AttackWarning, AutoAttack, SquareAttack
from tests.evaluation.victims import examples_of, victim

EPS = 0.006


def _scene(count: int = 10):
    model = victim(torch.float32)
    return model, *examples_of(model, count)


PARTS = ("APGDAttack", "APGDAttack_targeted", "FABAttack_PT", "SquareAttack")


@pytest.fixture
def _short(monkeypatch):
    """The package's attacks with a tenth of their iterations, for whoever calls them."""
    for name in PARTS:
        part = getattr(pyautoattack.autoattack, name)
        monkeypatch.setattr(part, "perturb", _shortened(part.perturb))


def _shortened(perturb):
    def short(self, *args, **kwargs):
        self.n_iter, self.n_queries = 10, 500
        return perturb(self, *args, **kwargs)

    return short


@pytest.fixture
def _idle(monkeypatch):
    """Attacks that leave traces and nothing else."""
    for name in PARTS:
        monkeypatch.setattr(f"pyautoattack.autoattack.{name}.perturb", _leave_traces)


def _leave_traces(self, x: Tensor, y: Tensor) -> Tensor:
    torch.manual_seed(99)
    with torch.enable_grad():
        (getattr(self, "model", None) or self.predict)(x).sum().backward()
    return x


@pytest.mark.usefixtures("_short")
def test_the_accuracy_is_that_of_the_package_itself():
    model, images, labels = _scene()
    attacked = AutoAttack(EPS).run(model, images, labels, seed=3, batch_size=6)
    package = pyautoattack.AutoAttack(model, eps=EPS, seed=3)
    expected, predicted = package.run_standard_evaluation(images, labels, batch_size=6)
    assert 0 < attacked.accuracy < 1
    assert attacked.accuracy == (predicted == labels).double().mean().item()
    assert torch.equal(attacked.images, expected)


@pytest.mark.usefixtures("_short")
def test_square_is_a_black_box():
    model, images, labels = _scene()
    attacked = SquareAttack(EPS).run(lambda x: model(x.detach()), images, labels)
    assert attacked.accuracy < 1
    assert (attacked.images - images).abs().max() <= EPS + 1e-6


@pytest.mark.usefixtures("_idle")
def test_no_trace_is_left():
    model, images, labels = _scene()
    state, trace = torch.get_rng_state(), lambda *_: None
    sys.settrace(trace)
    try:
        AutoAttack(EPS).run(model, images, labels)
        assert sys.gettrace() is trace
    finally:
        sys.settrace(None)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.usefixtures("_idle")
@pytest.mark.filterwarnings("ignore:The model answers the same image otherwise")
def test_what_the_package_finds_suspicious_is_a_warning():
    model, images, labels = _scene()
    with pytest.warns(AttackWarning, match="randomized defense"):
        AutoAttack(EPS).run(lambda x: model(x) + torch.rand(len(x), 1), images, labels)


@pytest.mark.usefixtures("_short")
def test_fewer_classes_than_ten_have_fewer_targets():
    model, images, _ = _scene(4)

    def of_five(x: Tensor) -> Tensor:
        return model(x)[:, :5]

    labels = of_five(images).argmax(1)
    assert 0 < AutoAttack(EPS).run(of_five, images, labels).accuracy < 1


def test_three_classes_are_refused():
    model, images, _ = _scene()
    with pytest.raises(InputError, match="4 classes or more; the model has 3"):
        AutoAttack(EPS).run(lambda x: model(x)[:, :3], images, torch.zeros(10).long())


@pytest.mark.parametrize("attack", [AutoAttack, SquareAttack])
def test_eps_is_checked(attack):
    with pytest.raises(SettingError, match="whole pixel range"):
        attack(8.0)
    with pytest.raises(SettingError, match="above 0"):
        attack(0.0)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    model, images, labels = _scene()
    with pytest.raises(ImportError, match=r'pip install "freqreg\[autoattack\]"'):
        SquareAttack(EPS).run(model, images, labels)
