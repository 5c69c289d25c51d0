import importlib
import pickle
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchattacks
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg import FGSM, JaFR, Mix, Objective, PixelSpace
from freqreg.errors import SettingError
from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.integrations.torchattacks import TorchAttack
from tests.evaluation.victims import examples_of, victim

EPS = 8 / 255
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


class _Net(nn.Module):
    """With a frozen batch norm beside one that trains, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.BatchNorm2d(3).eval()
        self.norm = nn.BatchNorm2d(3)
        self.dropout = nn.Dropout(0.1)
        self.inside = victim(torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(self.dropout(self.norm(self.frozen(x))))


def _net() -> _Net:
    net = _Net()
    net.norm.train()
    net.inside.conv.weight.requires_grad_(False)
    net.inside.head.weight.grad = torch.ones_like(net.inside.head.weight)
    net.inside.train()
    return net


def _traces(net: nn.Module) -> list:
    return [
        torch.get_rng_state().tolist(),
        pickle.dumps(np.random.get_state()),  # noqa: NPY002
        [m.training for m in net.modules()],
        [p.requires_grad for p in net.parameters()],
        [None if p.grad is None else p.grad.tolist() for p in net.parameters()],
        [buffer.tolist() for buffer in net.buffers()],
    ]


def _images(count: int = 6) -> Tensor:
    return torch.rand(count, 3, 12, 12)


ATTACKS = {
    "PGD": lambda net: torchattacks.PGD(net, steps=2),
    "CW": lambda net: torchattacks.CW(net, steps=2),
    "APGD, which seeds": lambda net: torchattacks.APGD(net, steps=2),
    "attacks within attacks": lambda net: torchattacks.MultiAttack(
        [torchattacks.APGD(net, steps=2), torchattacks.FFGSM(net)]
    ),
    "Pixle, on numpy": lambda net: torchattacks.Pixle(net, max_iterations=1, restarts=1),
    "batch norm in train mode": lambda net: _in_training_mode(torchattacks.PGD(net, steps=2)),
}


def _in_training_mode(attack: torchattacks.PGD) -> torchattacks.PGD:
    attack.set_model_training_mode(model_training=True, batchnorm_training=True)
    return attack


@pytest.mark.parametrize("name", ATTACKS)
def test_an_evaluation_leaves_no_trace(name):
    net = _net()
    attack = TorchAttack(ATTACKS[name](net))
    judge, images = victim(torch.float32), _images()
    before = _traces(net)
    attack.run(judge, images, torch.arange(6))
    assert _traces(net) == before


@pytest.mark.parametrize("name", ATTACKS)
def test_a_mixer_draws_one_number_and_leaves_no_other_trace(name):
    net = _net()
    mixer = TorchAttack(ATTACKS[name](net))
    x = _images()
    state = torch.get_rng_state()
    before = _traces(net)
    mixer(x, _no_pass, PixelSpace())
    assert _traces(net)[1:] == before[1:]
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    torch.randint(2**31, ())
    assert torch.equal(torch.get_rng_state(), after)


def _no_pass(_: Tensor) -> Tensor:
    raise AssertionError("the attack makes its own passes")


class _Fails(torchattacks.PGD):
    def forward(self, images, labels=None):
        super().forward(images, labels)
        self.get_logits(images).sum().backward()
        torch.manual_seed(77)
        self.model.inside.conv.weight.requires_grad_(True)
        raise RuntimeError("no adversarial images today")


def test_an_attack_that_raises_leaves_no_trace():
    net = _net()
    foreign = _Fails(net, steps=1)
    foreign.set_normalization_used(MEAN, STD)
    settings = dict(vars(foreign))
    mixer = TorchAttack(foreign, targets=lambda x: torch.zeros(len(x), dtype=torch.int64))
    before = _traces(net)
    with pytest.raises(RuntimeError, match="no adversarial images today"):
        mixer(_images(), _no_pass, PixelSpace(MEAN, STD))
    assert _traces(net)[1:] == before[1:]
    assert vars(foreign) == settings


def test_steps_differ_and_seeding_repeats_them():
    """Of an attack that seeds itself as well, whose every step would else be the same."""
    model = victim(torch.float32)
    for foreign in (torchattacks.PGD(model, steps=1), torchattacks.APGD(model, steps=1)):
        mixer, x = TorchAttack(foreign), _images()
        torch.manual_seed(3)
        first, second = (mixer(x, _no_pass, PixelSpace()) for _ in range(2))
        torch.manual_seed(3)
        again = mixer(x, _no_pass, PixelSpace())
        assert not torch.equal(first, second)
        assert torch.equal(first, again)


def test_labels_are_the_models_predictions_or_the_targets():
    model = victim(torch.float32)
    x, predictions = examples_of(model, 6)
    others = (predictions + 1) % 10
    mixed = [
        TorchAttack(torchattacks.FGSM(model, eps=EPS), targets=targets)(x, _no_pass, PixelSpace())
        for targets in (None, lambda _: others)
    ]
    for images, labels in zip(mixed, (predictions, others), strict=True):
        assert_close(images, FGSMAttack(EPS).run(model, x, labels).images)


def test_normalised_inputs_are_perturbed_by_eps_pixels():
    model = victim(torch.float32)
    foreign = torchattacks.FGSM(model, eps=EPS)
    foreign.set_normalization_used(MEAN, STD)
    pixels = PixelSpace(MEAN, STD)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    x = (_images() * 0.8 + 0.1 - mean) / std
    labels = model(x).argmax(1)

    def grad_at(point: Tensor) -> Tensor:
        point = point.detach().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(model(point), labels), point)[0]

    mixed = TorchAttack(foreign)(x, grad_at, pixels)
    assert_close(mixed, FGSM(EPS)(x, grad_at, pixels), rtol=0, atol=1e-5)


def test_a_training_step_with_jafr():
    net = _net()
    objective = Objective([JaFR(1e-3)], mixer=Mix(TorchAttack(torchattacks.PGD(net)), fraction=0.5))
    loss = objective(lambda x: F.cross_entropy(net(x), torch.arange(6)), _images(), model=net)
    (gradient,) = torch.autograd.grad(loss, net.inside.head.weight)
    assert gradient.abs().sum() > 0
    assert net.norm.num_batches_tracked == 1


def test_eps_is_checked_against_the_pixel_range():
    with pytest.raises(SettingError, match="whole pixel range"):
        Objective(mixer=TorchAttack(torchattacks.PGD(victim(), eps=8)))


def test_a_disagreement_about_normalisation_is_refused():
    mixer = TorchAttack(torchattacks.PGD(victim(torch.float32)))
    with pytest.raises(SettingError, match="set_normalization_used"):
        mixer(_images(), _no_pass, PixelSpace(MEAN, STD))
    with pytest.raises(SettingError, match="pixels in"):
        mixer(_images(), _no_pass, PixelSpace(high=255))
    mixer.attack.set_normalization_used(MEAN, STD)
    with pytest.raises(SettingError, match="normalises inside"):
        mixer.run(victim(torch.float32), _images(), torch.arange(6))


def test_a_class_instead_of_an_attack_is_refused(unchecked_shapes):
    with pytest.raises(SettingError, match="holds its model"):
        TorchAttack(torchattacks.PGD)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("start", ["zero", "random"])
def test_our_pgd_makes_the_same_images(start, monkeypatch):
    model = victim(torch.float32)
    images, labels = examples_of(model)
    ours = PGDAttack(EPS, steps=20, step_size=2 / 255, restarts=1, start=start)
    foreign = torchattacks.PGD(model, EPS, 2 / 255, steps=20, random_start=start == "random")
    drawn = CounterRNG("0/restart 0", torch.arange(len(images))).uniform(-1, 1, "start", 3, 12, 12)
    monkeypatch.setattr(Tensor, "uniform_", lambda self, low, high: self.copy_(drawn * high))
    expected = foreign(images, labels)
    assert_close(ours.run(model, images, labels).images, expected, rtol=0, atol=1e-6)
    assert (expected - images).abs().max() > 0.9 * EPS


def test_evaluation_by_a_torchattacks_attack():
    """The accuracy of calling it directly; with another model's attack, that of the transfer."""
    model, other = victim(torch.float32), victim(torch.float32, seed=5)
    images, labels = examples_of(model)
    for source in (model, other):
        foreign = torchattacks.BIM(source, eps=0.02, alpha=0.005, steps=5)
        attacked = TorchAttack(foreign).run(model, images, labels, batch_size=16)
        expected = foreign(images, labels)
        assert_close(attacked.images, expected)
        assert attacked.accuracy == (model(expected).argmax(1) == labels).double().mean().item()


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    module = "freqreg.integrations.torchattacks"
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "torchattacks.attack", None)
    with pytest.raises(ImportError, match=r"freqreg\[torchattacks\]"):
        importlib.import_module(module)
