"""torch.compile: finite differences go through compiled code, and batch norms stay frozen there."""

import copy
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from freqreg import ELLE, FGSM, DoubleBackprop, FiniteDifference, JaFR, Objective
from freqreg.differentiation import Differentiation
from freqreg.errors import SettingError
from tests.references import parameter_grads

CENTRAL = FiniteDifference()
ONE_SIDED = FiniteDifference(scheme="one-sided")
Compile = Callable[[nn.Module], Callable[[Tensor], Tensor]]


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.compiler.reset()
    yield
    torch.compiler.set_stance("default")
    torch.compiler.reset()
    torch.set_num_threads(threads)


def net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(4 * 64, 3),
    )


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(4, 3, 8, 8, generator=generator)
    return x, torch.randint(3, (4,), generator=generator)


def compiled_module(model: nn.Module, backend: str = "aot_eager") -> Callable[[Tensor], Tensor]:
    return torch.compile(model, backend=backend)


def compiled_in_place(model: nn.Module) -> Callable[[Tensor], Tensor]:
    model.compile(backend="aot_eager")
    return model


def compiled_function(model: nn.Module) -> Callable[[Tensor], Tensor]:
    return torch.compile(lambda x: model(x), backend="aot_eager")


def step(
    objective: Objective, model: nn.Module, call: Callable[[Tensor], Tensor], given: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, parameter gradients and batch norm's running mean after one step."""
    x, y = batch()
    loss = objective(lambda z: F.cross_entropy(call(z), y), x, model=model if given else None)
    loss.backward()
    grads = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert model.get_buffer("1.num_batches_tracked") == 1
    return loss.detach(), grads, model.get_buffer("1.running_mean")


@pytest.mark.parametrize("compile_it", [compiled_module, compiled_in_place, compiled_function])
@pytest.mark.parametrize("differentiation", [CENTRAL, ONE_SIDED], ids=["central", "one-sided"])
@pytest.mark.parametrize("mixer", [None, FGSM()], ids=["clean", "fgsm"])
def test_finite_differences_are_those_of_the_eager_model(
    compile_it: Compile, differentiation: Differentiation, mixer: FGSM | None
) -> None:
    objective = Objective([JaFR(0.1)], mixer, differentiation=differentiation)
    eager, model = net(), net()
    expected = step(objective, eager, eager, given=True)
    torch.testing.assert_close(step(objective, model, compile_it(model), given=True), expected)


@pytest.mark.filterwarnings("ignore:Using `torch.compile")  # of the hook that finds the norms
@pytest.mark.parametrize("compile_it", [compiled_module, compiled_function])
def test_norms_in_compiled_code_are_found_or_ask_for_the_model(compile_it: Compile) -> None:
    """torch 2.11 traces the hook that finds them; later ones do not."""
    objective, eager, model = Objective([JaFR(0.1)], differentiation=CENTRAL), net(), net()
    refused = torch.__version__ >= "2.13"
    expected = pytest.raises(SettingError, match="model=model") if refused else nullcontext()
    with expected:
        found = step(objective, model, compile_it(model), given=False)
        torch.testing.assert_close(found, step(objective, eager, eager, given=True))


def test_a_given_model_costs_no_graph_breaks() -> None:
    """One graph of the main pass, one of the probes with frozen norms."""
    from torch._dynamo.testing import CompileCounterWithBackend

    counter, model = CompileCounterWithBackend("aot_eager"), net()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for _ in range(3):
        model.get_buffer("1.num_batches_tracked").zero_()
        step(Objective([JaFR(0.1)], differentiation=CENTRAL), model, compiled, given=True)
    assert counter.frame_count == 2


def test_compiled_code_without_a_visible_norm_asks_for_the_model() -> None:
    model, (x, y) = net(), batch()
    model[1] = nn.Identity()
    compiled = torch.compile(lambda z: F.cross_entropy(model(z), y), backend="aot_eager")
    objective = Objective((), FGSM())
    with pytest.raises(SettingError, match="model=model"):
        objective(lambda z: compiled(z), x)
    objective(lambda z: compiled(z), x, model=model)


@pytest.mark.parametrize("backward", ["summed", "streamed"])
@pytest.mark.parametrize(
    "objective",
    [Objective([ELLE(1e4)]), Objective([JaFR(0.1)], differentiation=CENTRAL)],
    ids=["elle", "jafr"],
)
def test_inductor_has_the_gradients_of_the_eager_model(objective: Objective, backward: str) -> None:
    """With its donated buffers: nothing is differentiated twice, nor kept.

    Few operations, and the same in each test: a C++ compiler takes seconds for each kernel.
    """
    (x, y), model = batch(), nn.Sequential(nn.Flatten(), nn.Linear(192, 3), nn.GELU()).double()
    x, models = x.double(), [model, copy.deepcopy(model)]
    calls = (models[0], compiled_module(models[1], "inductor"))
    for model, call in zip(models, calls, strict=True):
        torch.manual_seed(0)

        def loss_fn(z: Tensor, call: Callable[[Tensor], Tensor] = call) -> Tensor:
            return F.cross_entropy(call(z), y, reduction="none")

        if backward == "summed":
            objective(loss_fn, x, model=model).backward()
        else:
            for loss in objective.losses(loss_fn, x, model=model):
                loss.backward()
    one, other = map(parameter_grads, models)
    assert (one - other).norm() < 1e-6 * one.norm()


class Attention(nn.Module):
    """One head of fused attention over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(24, 48), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x.transpose(1, 2).flatten(2))[:, None].chunk(3, -1)
        return self.head(F.scaled_dot_product_attention(q, k, v).mean((1, 2)))


@pytest.mark.parametrize("differentiation", [DoubleBackprop(), CENTRAL], ids=repr)
def test_losses_of_images_go_through_fused_attention(differentiation: Differentiation) -> None:
    (x, y), found = batch(), []
    x = x.double()
    torch.manual_seed(1)
    model = Attention().double()
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.MATH):
        model.zero_grad()
        torch.manual_seed(0)
        with sdpa_kernel(backend):
            objective = Objective([ELLE(1e4)], FGSM(), differentiation=differentiation)
            objective(lambda z: F.cross_entropy(model(z), y, reduction="none"), x).backward()
        found.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        )
    assert (found[0] - found[1]).norm() < 1e-6 * found[1].norm()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch reads it in a traced backward
@pytest.mark.parametrize(
    ("differentiation", "streamed"), [(DoubleBackprop(), False), (CENTRAL, False), (CENTRAL, True)]
)
def test_a_compiled_step_equals_the_eager_one(
    differentiation: Differentiation, streamed: bool, unchecked_shapes: None
) -> None:
    """The objective runs eagerly within it."""
    objective, ends = Objective([JaFR(0.1)], FGSM(), differentiation=differentiation), []
    for compile_it in (lambda run: run, partial(torch.compile, backend="aot_eager")):
        (x, y), model = batch(), net()

        def run(x: Tensor, y: Tensor, model: nn.Module = model) -> Tensor:
            def loss_fn(images: Tensor) -> Tensor:
                return F.cross_entropy(model(images), y)

            if not streamed:
                return objective(loss_fn, x)
            total = torch.zeros(())
            for loss in objective.losses(loss_fn, x):
                loss.backward()
                total += loss.detach()
            return total

        loss = compile_it(run)(x, y)
        if loss.requires_grad:
            loss.backward()
        ends.append([loss.detach(), *(p.grad for p in model.parameters()), *model.buffers()])
    torch.testing.assert_close(*ends, rtol=0, atol=0)
