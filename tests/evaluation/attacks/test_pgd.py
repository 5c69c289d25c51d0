import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from freqreg.errors import SettingError
from freqreg.evaluation.attacks.base import AttackWarning
from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack, margin
from freqreg.evaluation.attacks.restarts import run_restarts
from freqreg.evaluation.corruptions.randomness import CounterRNG
from freqreg.evaluation.inputs.examples import Batch, Examples
from tests.evaluation.victims import Overflowing, examples_of, victim

EPS = 0.01
PGD = PGDAttack(EPS, steps=4, restarts=5)


@pytest.mark.parametrize("select", ["broken", "max-loss"])
@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_early_exit_breaks_the_same_images(select, loss):
    model = victim()
    images, labels = examples_of(model)
    attack = dataclasses.replace(PGD, select=select, loss=loss)
    early = attack.run(model, images, labels)
    every = dataclasses.replace(attack, early_exit=False).run(model, images, labels)
    assert 0.2 < every.accuracy < 0.95
    assert torch.equal(early.correct, every.correct)


BROKEN_BY_LITTLE = [0.4, 0.5, *8 * [0.0125]]  # cross-entropy 0.9, the second class is taken
RIGHT_BY_LITTLE = [0.11, 0.11, *8 * [0.0975]]  # cross-entropy 2.2, the first class is taken
BROKEN_BY_MUCH = [0.01, 0.9, *8 * [0.01125]]  # cross-entropy 4.6, above log 10


@pytest.mark.parametrize(
    ("iterates", "select", "right", "needed"),
    [
        ([0, 1, 1], "broken", False, 1),
        ([0, 1, 1], "max-loss", True, 3),
        ([1, 0, 1], "max-loss", True, 3),
        ([1, 2, 1], "max-loss", False, 2),
        ([2, 0, 1], "max-loss", False, 1),
        ([1, 1, 1], "broken", True, 3),
    ],
)
def test_an_image_leaves_once_nothing_can_change_its_outcome(iterates, select, right, needed):
    """By "max-loss" a broken image may still be kept as a right one; not above log(classes)."""
    logits = torch.tensor([BROKEN_BY_LITTLE, RIGHT_BY_LITTLE, BROKEN_BY_MUCH]).log()
    ran: list[int] = []

    def perturb(batch: Batch, random: CounterRNG) -> torch.Tensor:
        ran.append(int(random.key.split()[-1]))
        return torch.full_like(batch.x, iterates[ran[-1]] / 2)

    def model(x: torch.Tensor) -> torch.Tensor:
        return logits[(2 * x[:, 0, 0, 0]).round().long()]

    examples = Examples.checked(model, torch.zeros(1, 3, 2, 2), torch.tensor([0]))
    common = {"restarts": 3, "select": select, "seed": 0, "batch_size": 1, "label": ""}
    early = run_restarts(model, examples, perturb, early_exit=True, **common)
    assert len(ran) == needed
    every = run_restarts(model, examples, perturb, early_exit=False, **common)
    assert len(ran) == needed + 3
    assert early.correct.item() is every.correct.item() is right


def test_early_exit_attacks_only_what_still_stands():
    """Each restart costs a pass of the survivors for each step and one more to see who is left."""
    model, seen = victim(), []
    images, labels = examples_of(model)
    model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    standing = PGDAttack(EPS, steps=4, restarts=1).run(model, images, labels).correct.sum().item()
    assert seen == [16, 8] + 5 * [40]
    seen.clear()
    PGDAttack(EPS, steps=4, restarts=2).run(model, images, labels)
    assert seen == [16, 8] + 5 * [40] + 5 * [standing]


@pytest.mark.parametrize("start", ["zero", "random"])
@pytest.mark.parametrize(
    "attack",
    [FGSMAttack(EPS), PGD, dataclasses.replace(PGD, select="max-loss")],
    ids=["fgsm", "pgd", "max-loss"],
)
def test_logits_that_are_nan_are_wrong(attack, start):
    model = victim()
    images, labels = examples_of(model)
    broken = Overflowing(model, images).eval()
    if attack != FGSMAttack(EPS):
        attack = dataclasses.replace(attack, start=start, restarts=2)
    attacked = attack.run(broken, images, labels)
    assert attacked.accuracy == 0
    assert broken(attacked.images).isnan().all()
    assert attacked.images.isfinite().all()


def test_restarts_only_break_more():
    model = victim()
    images, labels = examples_of(model, 100)
    few, many = (PGDAttack(EPS, steps=2, restarts=n).run(model, images, labels) for n in (1, 12))
    assert not (many.correct & ~few.correct).any()
    assert many.accuracy < few.accuracy


def test_the_correct_flags_describe_the_images_returned():
    model = victim()
    images, labels = examples_of(model)
    for attack in (PGD, dataclasses.replace(PGD, select="max-loss"), FGSMAttack(EPS)):
        attacked = attack.run(model, images, labels)
        with torch.no_grad():
            assert torch.equal(attacked.correct, model(attacked.images).argmax(1) == labels)
        assert (attacked.images - images).abs().max() <= EPS * (1 + 1e-12)
        assert attacked.images.min() >= 0
        assert attacked.images.max() <= 1


def test_max_loss_keeps_the_last_iterate_of_highest_cross_entropy():
    """Against a written-out loop over restarts that attacks everything."""
    model = victim()
    images, labels = examples_of(model)
    attack = dataclasses.replace(PGD, select="max-loss", early_exit=False)
    highest = torch.full((len(images),), -torch.inf, dtype=torch.float64)
    kept = images.clone()
    for restart in range(attack.restarts):
        last = _written_out(model, images, labels, attack, restart)
        loss = F.cross_entropy(model(last), labels, reduction="none").detach()
        kept = torch.where((loss >= highest)[:, None, None, None], last, kept)
        highest = torch.maximum(loss, highest)
    assert_close(attack.run(model, images, labels).images, kept, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
@pytest.mark.parametrize("start", ["random", "zero"])
def test_one_restart_equals_the_written_out_attack(loss, start):
    model = victim(smooth=True)
    images, labels = examples_of(model)
    attack = PGDAttack(EPS, steps=5, restarts=1, loss=loss, start=start)
    expected = _written_out(model, images, labels, attack, restart=0)
    assert_close(attack.run(model, images, labels).images, expected, rtol=0, atol=1e-12)


def _written_out(model, images, labels, attack, restart):
    """PGD in plain torch, all images in one batch."""
    random = CounterRNG(f"0/restart {restart}", torch.arange(len(images)))
    noise = random.uniform(-1, 1, "start", *images.shape[1:]).double()
    point = images if attack.start == "zero" else (images + EPS * noise).clamp(0, 1)
    for _ in range(attack.steps):
        point = point.detach().requires_grad_()
        logits = model(point)
        if attack.loss == "margin":
            others = logits.scatter(1, labels[:, None], -torch.inf).max(1).values
            loss = -F.relu(logits.gather(1, labels[:, None])[:, 0] - others + 50).sum()
        else:
            loss = F.cross_entropy(logits, labels)
        (gradient,) = torch.autograd.grad(loss, point)
        step = point.detach() + EPS / 4 * gradient.sign()
        point = torch.min(torch.max(step, images - EPS), images + EPS).clamp(0, 1)
    return point


def test_fgsm_is_one_signed_step():
    model = victim()
    images, labels = examples_of(model)
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), labels), x)
    expected = (images + EPS * gradient.sign()).clamp(0, 1)
    assert_close(FGSMAttack(EPS).run(model, images, labels).images, expected)


def test_margin_is_cut_off_at_the_confidence():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 1.0, 90.0]])
    assert margin(logits, torch.tensor([0, 1]), 50.0).tolist() == [-1.0, 50.0]


@pytest.mark.parametrize("attack", [PGD, FGSMAttack(EPS)], ids=["pgd", "fgsm"])
def test_the_batch_size_changes_nothing(attack):
    model = victim()
    images, labels = examples_of(model)
    together = attack.run(model, images, labels)
    apart = attack.run(model, images, labels, batch_size=7)
    assert_close(apart.images, together.images, rtol=0, atol=1e-12)
    assert torch.equal(apart.correct, together.correct)


def test_an_image_is_attacked_alike_wherever_it_stands():
    model = victim()
    images, labels = examples_of(model)
    rows = torch.tensor([31, 4, 17])
    whole = PGD.run(model, images, labels).images[rows]
    part = PGD.run(model, images[rows], labels[rows], index=rows).images
    assert_close(part, whole, rtol=0, atol=1e-12)


def test_seeds_and_restarts_start_elsewhere():
    model = victim()
    images, labels = examples_of(model)
    one = PGDAttack(EPS, steps=1, restarts=1, step_size=1e-9)
    starts = [one.run(model, images, labels, seed=seed).images for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert (starts[0] - starts[2]).abs().mean() > EPS / 3
    noise = (starts[0] - images)[(images > EPS) & (images < 1 - EPS)] / EPS
    assert_close(noise.std().item(), 3**-0.5, rtol=0.05, atol=0)


def test_bytes_and_floats_are_attacked_alike():
    model = victim(torch.float32)
    bytes_ = torch.randint(0, 256, (8, 3, 12, 12), dtype=torch.uint8)
    labels = torch.zeros(8, dtype=torch.int64)
    assert torch.equal(
        FGSMAttack(EPS).run(model, bytes_, labels).images,
        FGSMAttack(EPS).run(model, bytes_.float() / 255, labels).images,
    )


def test_nothing_but_the_answer_is_left_behind():
    model = victim()
    images, labels = examples_of(model, 8)
    model.head.weight.requires_grad_(False)
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    state = torch.get_rng_state()
    with torch.no_grad():
        PGD.run(model, images, labels)
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.head.weight.requires_grad
    assert torch.equal(model.conv.weight.grad, torch.ones_like(model.conv.weight))
    assert model.head.weight.grad is None


class _Noisy(nn.Module):
    """A randomised defence."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return self.inside(x + 0.05 * torch.randn_like(x))


@pytest.mark.filterwarnings("ignore:The model answers the same image otherwise")
def test_a_model_that_draws_gives_the_same_answer_to_the_same_seed():
    model = _Noisy(victim()).eval()
    images, labels = examples_of(model.inside)
    first = PGD.run(model, images, labels)
    torch.randn(3)
    state = torch.get_rng_state()
    again = PGD.run(model, images, labels)
    assert torch.equal(first.images, again.images)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"eps": 8.0}, "more than the whole pixel range"),
        ({"eps": float("nan")}, "finite"),
        ({"step_size": 2.0}, "step_size is 2.0, more than the whole pixel range"),
        ({"eps": -0.1}, "above 0"),
        ({"step_size": 0.0}, "above 0"),
        ({"restarts": 0}, "restarts is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"confidence": float("inf")}, "finite"),
        ({"loss": "hinge"}, "choose 'cross-entropy' or 'margin'"),
        ({"select": "best"}, "choose 'broken' or 'max-loss'"),
        ({"start": "middle"}, "choose 'zero' or 'random'"),
    ],
)
def test_settings_that_cannot_be_meant(settings, complaint, unchecked_shapes):
    with pytest.raises(SettingError, match=complaint):
        PGDAttack(**settings)


@pytest.mark.parametrize("attack", [FGSMAttack(EPS), PGD], ids=["fgsm", "pgd"])
def test_attacks_leave_inference_mode_as_they_leave_no_grad(attack):
    model = victim()
    images, labels = examples_of(model)
    expected = attack.run(model, images, labels)
    with torch.inference_mode():
        made_there = images.clone(), labels.clone()
        found = [attack.run(model, images, labels), attack.run(model, *made_there)]
    found.append(attack.run(model, *made_there))
    for attacked in found:
        assert torch.equal(attacked.images, expected.images)
        assert not attacked.images.is_inference()


class _Hiding(nn.Module):
    """Half of the images have no gradient."""

    def __init__(self, inside: nn.Module, hidden: torch.Tensor) -> None:
        super().__init__()
        self.inside, self.hidden = inside, hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        near = (x[:, None] - self.hidden).flatten(2).abs().amax(2).amin(1) < 0.1
        return self.inside(torch.where(near[:, None, None, None], x.detach(), x))


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_images_without_a_gradient_are_counted(loss):
    model = victim()
    images, labels = examples_of(model)
    hiding = _Hiding(model, images[:10]).eval()
    attack = dataclasses.replace(PGD, loss=loss)
    with pytest.warns(AttackWarning, match=r"of 25.0% of the images is exactly zero.*AutoAttack"):
        attacked = attack.run(hiding, images, labels)
    assert attacked.zero_gradient is not None
    assert attacked.zero_gradient.tolist() == [True] * 10 + [False] * 30
    assert attacked.correct[:10].all()


def test_a_margin_at_its_bound_is_not_a_hidden_gradient():
    model = victim()
    images, labels = examples_of(model)
    wrong = (labels + 1) % 10
    by_far = dataclasses.replace(PGD, loss="margin", confidence=1e-6)
    attacked = by_far.run(model, images, wrong)
    assert attacked.accuracy == 0
    assert attacked.zero_gradient is not None
    assert not attacked.zero_gradient.any()


@pytest.mark.parametrize("loss", ["cross-entropy", "margin"])
def test_a_gradient_that_is_not_finite_counts_as_none(loss):
    model = victim()
    images, labels = examples_of(model)

    def with_root(x: torch.Tensor) -> torch.Tensor:
        return model(x) + (0 * x).sqrt().mean((1, 2, 3))[:, None]  # its derivative is NaN

    with pytest.warns(AttackWarning, match=r"% of the images is exactly zero or not finite"):
        attacked = dataclasses.replace(PGD, loss=loss).run(with_root, images, labels)
    assert attacked.zero_gradient is not None
    assert torch.equal(attacked.zero_gradient, attacked.correct)
    assert attacked.accuracy > 0.9
