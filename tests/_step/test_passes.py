"""Randomness and batch norm: what a step leaves behind, and what its passes share."""

import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import (
    FGSM,
    NFGSM,
    PGD,
    DoubleBackprop,
    FiniteDifference,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Mix,
    Objective,
    is_probe,
)
from freqreg._step.randomness import RandomState, Replay
from freqreg.differentiation import Differentiation
from freqreg.mixers import Mixer

CPU = frozenset({torch.device("cpu")})
STRATEGIES: list[Differentiation] = [
    DoubleBackprop(),
    FiniteDifference(),
    FiniteDifference(scheme="one-sided"),
]
Backward = Callable[[Objective, Callable[[Tensor], Tensor], Tensor], None]


def summed(objective: Objective, loss_fn: Callable[[Tensor], Tensor], x: Tensor) -> None:
    objective(loss_fn, x).backward()


def streamed(objective: Objective, loss_fn: Callable[[Tensor], Tensor], x: Tensor) -> None:
    for loss in objective.losses(loss_fn, x):
        loss.backward()


class Watched(nn.Module):
    """A small net that keeps the dropout masks it drew."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 64, 3)
        self.masks: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.gelu(self.norm(self.conv(x)))
        mask = F.dropout(torch.ones_like(hidden), 0.5, training=self.training)
        self.masks.append(mask)
        return self.head((hidden * mask).flatten(1))


def step(
    objective: Objective, backward: Backward, model: nn.Module, x: Tensor, y: Tensor
) -> Tensor:
    """The random state after one step."""
    backward(objective, lambda z: F.cross_entropy(model(z), y), x)
    return torch.get_rng_state()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 3, 8, 8)


@pytest.fixture
def y() -> Tensor:
    return torch.randint(3, (4,))


@pytest.mark.parametrize("differentiation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("backward", [summed, streamed])
@pytest.mark.parametrize("mixer", [None, FGSM(), PGD(start="zero", steps=2)], ids=repr)
def test_masks_are_shared_in_a_step_and_fresh_in_the_next(
    differentiation: Differentiation, backward: Backward, mixer: Mixer | None, x: Tensor, y: Tensor
) -> None:
    model = Watched()
    objective = Objective([JaFR()], mixer, differentiation=differentiation)
    steps = []
    for _ in range(2):
        model.masks.clear()
        step(objective, backward, model, x, y)
        assert all(torch.equal(mask, model.masks[0]) for mask in model.masks)
        steps.append(model.masks[0])
    assert not torch.equal(*steps)


@pytest.mark.parametrize("differentiation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("backward", [summed, streamed])
@pytest.mark.parametrize("mixer", [None, FGSM(), PGD(start="zero", steps=2)], ids=repr)
def test_without_random_starts_the_random_state_is_that_of_a_plain_step(
    differentiation: Differentiation, backward: Backward, mixer: Mixer | None, x: Tensor, y: Tensor
) -> None:
    model = Watched()
    torch.manual_seed(3)
    plain = step(Objective(), summed, model, x, y)
    plain_mask = model.masks[0]
    torch.manual_seed(3)
    model.masks.clear()
    regularizers = [JaFR(), InputGradientNorm()]
    objective = Objective(regularizers, mixer, differentiation=differentiation)
    assert torch.equal(step(objective, backward, model, x, y), plain)
    assert torch.equal(model.masks[0], plain_mask)


def drawn_by_fgsm(x: Tensor) -> None:
    torch.empty_like(x).uniform_()


def drawn_by_mix(x: Tensor) -> None:
    torch.rand(len(x))


RANDOM: list[tuple[list, Mixer | None, Callable[[Tensor], None]]] = [
    ([], FGSM(start="random"), drawn_by_fgsm),
    ([JaFR()], NFGSM(), drawn_by_fgsm),
    ([JaFR()], PGD(steps=2), drawn_by_fgsm),
    ([GradAlign()], None, drawn_by_fgsm),
    ([JaFR()], Mix(FGSM(), fraction=0.5), drawn_by_mix),
]


@pytest.mark.parametrize(("regularizers", "mixer", "drawn"), RANDOM)
@pytest.mark.parametrize("differentiation", STRATEGIES, ids=repr)
def test_random_starts_draw_first_and_the_main_pass_follows(
    regularizers: list,
    mixer: Mixer | None,
    drawn: Callable[[Tensor], None],
    differentiation: Differentiation,
    x: Tensor,
    y: Tensor,
) -> None:
    model = Watched()
    torch.manual_seed(3)
    drawn(x)
    plain = step(Objective(), summed, model, x, y)
    torch.manual_seed(3)
    objective = Objective(regularizers, mixer, differentiation=differentiation)
    assert torch.equal(step(objective, summed, model, x, y), plain)
    assert all(torch.equal(mask, model.masks[0]) for mask in model.masks)


def statistics(model: Watched) -> list[Tensor]:
    return [buffer.clone() for buffer in model.norm.buffers()]


def assert_same(found: list[Tensor], expected: list[Tensor]) -> None:
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("differentiation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("backward", [summed, streamed])
@pytest.mark.parametrize("given", [True, False])
def test_only_the_main_pass_updates_batch_norm(
    differentiation: Differentiation, backward: Backward, given: bool, x: Tensor, y: Tensor
) -> None:
    model = Watched()
    seen: list[Tensor] = []

    def watching(z: Tensor) -> Tensor:
        if not is_probe():
            seen.append(z.detach())
        return F.cross_entropy(model(z), y)

    objective = Objective([JaFR(), GradAlign()], FGSM(), differentiation=differentiation)
    losses = objective.losses if backward is streamed else None
    if losses is not None:
        for loss in losses(watching, x, model=model if given else None):
            loss.backward()
    else:
        objective(watching, x, model=model if given else None).backward()
    after = statistics(model)
    (mixed,) = seen
    expected = Watched()
    expected.load_state_dict(model.state_dict())
    for buffer, fresh in zip(expected.norm.buffers(), Watched().norm.buffers(), strict=True):
        buffer.copy_(fresh)
    expected(mixed)
    assert_same(after, statistics(expected))


def test_every_pass_updates_batch_norm_as_the_published_code_does(x: Tensor, y: Tensor) -> None:
    model = Watched()
    objective = Objective([JaFR()], FGSM(), batch_norm="every pass")
    step(objective, summed, model, x, y)
    assert model.norm.num_batches_tracked == 2


def test_randomness_returns_even_after_an_error() -> None:
    start = RandomState.now(CPU)
    torch.rand(3)
    before = torch.get_rng_state()

    def failing() -> None:
        with Replay(start).again():
            torch.rand(5)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        failing()
    assert torch.equal(torch.get_rng_state(), before)


def test_modes_hooks_and_flags_are_left_alone(x: Tensor, y: Tensor) -> None:
    model = Watched()
    model.norm.eval()
    model.conv.weight.requires_grad_(False)
    hooks = len(nn.modules.module._global_forward_pre_hooks)
    step(Objective([JaFR(), GradAlign()], PGD(steps=2)), summed, model, x, y)
    assert model.training
    assert not model.norm.training
    assert model.norm.track_running_stats
    assert not model.conv.weight.requires_grad
    assert len(nn.modules.module._global_forward_pre_hooks) == hooks


def drawn_by_numpy() -> float:
    return float(np.random.beta(1.0, 1.0))  # noqa: NPY002


@pytest.mark.parametrize("draw", [drawn_by_numpy, random.random])
@pytest.mark.parametrize("differentiation", STRATEGIES, ids=repr)
def test_the_generators_of_numpy_and_python_are_shared_as_well(
    draw: Callable[[], float],
    differentiation: Differentiation,
    x: Tensor,
    y: Tensor,
    unchecked_shapes: None,  # beartype draws from `random`
) -> None:
    """As mixup in a closure draws its share."""
    model, drawn = Watched(), []

    def loss_fn(z: Tensor) -> Tensor:
        drawn.append(draw())
        return drawn[-1] * F.cross_entropy(model(z), y)

    objective = Objective([JaFR(), GradAlign()], FGSM(), differentiation=differentiation)
    objective(loss_fn, x).backward()
    assert len(drawn) > 2
    assert len(set(drawn)) == 1
    assert draw() != drawn[0]


class Noise(nn.Module):
    def __init__(self, *, listed: bool) -> None:
        super().__init__()
        generator = torch.Generator()
        self.generators = [generator] if listed else generator

    def forward(self, x: Tensor) -> Tensor:
        held = self.generators
        return torch.rand(len(x), generator=held[0] if isinstance(held, list) else held)


class Augmentation:
    def __init__(self) -> None:
        self.rng = np.random.RandomState(0)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.rng.rand(len(x)))


def drawn_by(generator: torch.Generator, x: Tensor) -> Tensor:
    return torch.rand(len(x), generator=generator)


NUMPYS, PYTHONS = np.random.default_rng(0), random.Random(0)


def drawn_by_a_helper(x: Tensor) -> Tensor:
    return torch.tensor([NUMPYS.random() + PYTHONS.random() for _ in x])


class Pipeline:
    """It holds an augmentation, which holds the generator."""

    def __init__(self) -> None:
        self.stages = [Augmentation()]

    def draw(self, x: Tensor) -> Tensor:
        return self.stages[0](x)


class Augmenting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pipeline = Pipeline()

    def forward(self, x: Tensor) -> Tensor:
        return self.pipeline.draw(x)


class Helped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return drawn_by_a_helper(x)


class Called:
    def __call__(self, x: Tensor) -> Tensor:
        return drawn_by_a_helper(x)


def of_another_file() -> Callable[[Tensor], Tensor]:
    augment = ModuleType("augment")
    vars(augment).update(np=np)
    exec(
        "import torch\nrng = np.random.default_rng(0)\n"
        "def noise(x): return torch.as_tensor(rng.random(len(x)))",
        vars(augment),
    )
    variables = {"augment": augment, "__name__": "script"}
    return eval("lambda x: augment.noise(x)", variables)


OWN: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "of a module": lambda: Noise(listed=False),
    "in a module's list": lambda: Noise(listed=True),
    "of an object": Augmentation,
    "of a function": lambda: drawn_by_a_helper,
    "of a bound method": lambda: Augmentation().__call__,
    "of an object's object": lambda: Pipeline().draw,
    "of a module's object": Augmenting,
    "of a module's helper": Helped,
    "of an object's helper": Called,
    "of a function of another file": of_another_file,
    "of a partial": lambda: partial(drawn_by, torch.Generator()),
}


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("differentiation", STRATEGIES, ids=repr)
@pytest.mark.parametrize("held", OWN)
def test_generators_of_one_s_own_are_shared_as_well(
    held: str, differentiation: Differentiation, given: bool, x: Tensor, y: Tensor
) -> None:
    draw, model, drawn = OWN[held](), Watched(), []
    if isinstance(draw, nn.Module):
        model.add_module("draw", draw)

    def loss_fn(z: Tensor) -> Tensor:
        drawn.append(draw(z))
        return drawn[-1].mean().float() * F.cross_entropy(model(z), y)

    objective = Objective([JaFR(), GradAlign()], FGSM(), differentiation=differentiation)
    objective(loss_fn, x, model=model if given else None).backward()
    assert len(drawn) > 2
    assert all(torch.equal(numbers, drawn[0]) for numbers in drawn)
    assert not torch.equal(draw(x), drawn[0])


FIRST_DRAW = """
import sys, numpy, torch
from freqreg import FGSM, JaFR, Objective

assert "numpy.random" not in sys.modules
drawn, weight = [], torch.nn.Parameter(torch.rand(8))

def loss_fn(x):
    drawn.append(numpy.random.rand())
    return (x * weight * drawn[-1]).square().sin().sum()

Objective([JaFR()], FGSM())(loss_fn, torch.rand(2, 3, 8, 8))
assert len(drawn) > 1 and len(set(drawn)) == 1, drawn
"""


def test_numpy_is_shared_from_its_first_draw_on() -> None:
    """numpy loads its generator when somebody first draws from it."""
    subprocess.run([sys.executable, "-c", FIRST_DRAW], check=True)


@pytest.mark.parametrize(("draws", "written"), [(False, 0), (True, 3)])
def test_generators_are_written_only_where_something_was_drawn(
    draws: bool,
    written: int,
    x: Tensor,
    y: Tensor,
    monkeypatch: pytest.MonkeyPatch,
    unchecked_shapes: None,  # beartype draws from `random`
) -> None:
    """By each probe of PGD once: to where the main pass begins."""
    writes: list[RandomState] = []
    restore = RandomState.restore
    monkeypatch.setattr(RandomState, "restore", lambda s: (writes.append(s), restore(s))[1])
    model = Watched().train(draws)
    step(Objective((), PGD(steps=3)), summed, model, x, y)
    assert len(writes) == written
