"""A model's first step says where a gradient is wrong, and is silent where it is right."""

import copy
import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import FGSM, FiniteDifference, GradAlign, InputGradientNorm, JaFR, Objective
from freqreg.errors import (
    InexactGradientWarning,
    InputGradientError,
    KinkedActivationWarning,
    SecondDerivativeError,
)
from freqreg.networks import PreActResNet18

JAFR = Objective([JaFR(0.1)])
DIFFERENCES = Objective([JaFR(0.1)], differentiation=FiniteDifference())


def around(module: nn.Module, *, activation: type[nn.Module] = nn.GELU) -> nn.Sequential:
    """Smooth but for module `2`."""
    torch.manual_seed(0)
    head = nn.Sequential(activation(), nn.Conv2d(6, 6, 3), activation(), nn.Flatten())
    return nn.Sequential(nn.Conv2d(3, 6, 3), activation(), module, head, nn.Linear(6 * 64, 5))


def step(objective: Objective, model: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(1)
    x, y = torch.rand(8, 3, 12, 12), torch.arange(8) % 5
    objective(lambda z: F.cross_entropy(model(z), y), x).backward()


def function(backward: Callable[[Tensor, Tensor], Tensor]) -> type[torch.autograd.Function]:
    """SiLU with some backward pass."""

    class SiLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * torch.sigmoid(x)

        @staticmethod
        def backward(ctx, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
            return backward(grad, *ctx.saved_tensors)

    return SiLU


def slope(grad: Tensor, x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return grad * s * (1 + x * (1 - s))


def kernel(grad: Tensor, x: Tensor) -> Tensor:
    with torch.no_grad():
        return slope(grad, x)


class Module(nn.Module):
    """Some function as a module, with a convolution of its own."""

    def __init__(self, compute: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.compute, self.conv, self.calls = compute, nn.Conv2d(6, 6, 1), 0

    def forward(self, x: Tensor) -> Tensor:
        return self.compute(self.conv, x)


class Outer(Module):
    """The same, where the function is the outer module's own."""


def cut(conv: nn.Module, x: Tensor) -> Tensor:
    return function(kernel).apply(conv(x))


def cut_in_a_branch(conv: nn.Module, x: Tensor) -> Tensor:
    return x + 3 * cut(conv, x)


def in_place(conv: nn.Module, x: Tensor) -> Tensor:
    hidden = conv(x)
    hidden.data.mul_(torch.sigmoid(9 * hidden.data))
    return hidden


def without_grad(conv: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        gate = torch.sigmoid(9 * conv(x))
    return x * gate


def rounded(conv: nn.Module, x: Tensor) -> Tensor:
    hidden = conv(x)
    return hidden + ((hidden * 2).round() / 2 - hidden).detach()


WRONG: dict[str, tuple[Callable[[nn.Module, Tensor], Tensor], type]] = {
    "a cut graph": (cut, SecondDerivativeError),
    "a cut graph in a branch": (cut_in_a_branch, SecondDerivativeError),
    "a detach": (lambda conv, x: x * torch.sigmoid(9 * conv(x)).detach(), InexactGradientWarning),
    "no_grad": (without_grad, InexactGradientWarning),
    "data in place": (in_place, InexactGradientWarning),
    "a fake-quantised layer": (rounded, InexactGradientWarning),
    "a backward that is wrong by a factor": (
        lambda conv, x: function(lambda g, x: 3 * slope(g, x)).apply(conv(x)),
        InexactGradientWarning,
    ),
}


@pytest.mark.parametrize(("compute", "found"), WRONG.values(), ids=WRONG)
def test_a_module_that_is_wrong_by_construction_is_named(compute, found: type) -> None:
    model = around(Module(compute))
    context = pytest.warns if issubclass(found, Warning) else pytest.raises
    with context(found, match=r"\b2 \(Module\)"):
        step(JAFR, model)


def test_at_the_end_of_the_graph_as_well() -> None:
    head = Module(lambda conv, x: cut(conv, x))
    model = [nn.Conv2d(3, 6, 3), nn.GELU(), head, nn.Flatten()]
    with pytest.raises(SecondDerivativeError, match=r"\b2 \(Module\)"):
        step(JAFR, nn.Sequential(*model, nn.Linear(600, 5)))


def test_verification_can_be_left_out() -> None:
    step(Objective([JaFR(0.1)], verify=False), around(Module(cut)))


def test_a_loss_with_a_state_is_not_taken_for_a_pass_that_can_be_repeated() -> None:
    calls, model = [], around(nn.Identity())

    def stateful(x: Tensor) -> Tensor:
        calls.append(1)
        return model(x) * (1 + len(calls))

    with pytest.warns(InexactGradientWarning, match="keeps a state"):
        step(JAFR, stateful)


class Recomputed(torch.autograd.Function):
    """As reversible networks have it."""

    @staticmethod
    def forward(ctx, x: Tensor, block: nn.Module) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            ctx.block(x).backward(grad)
        return x.grad, None


@pytest.mark.parametrize("objective", [JAFR, Objective(mixer=FGSM()), DIFFERENCES], ids=repr)
def test_a_backward_within_a_backward_is_named(objective: Objective) -> None:
    model = around(Module(lambda conv, x: Recomputed.apply(x, conv)))
    with pytest.raises(
        InputGradientError, match=r"changes \.grad of (2\.conv|weight|model\.weight)"
    ):
        step(objective, model)


def test_an_operation_in_cpp_that_has_no_second_derivative_is_named() -> None:
    from torchvision.ops import DeformConv2d

    class Deformable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset, self.conv = (
                nn.Conv2d(6, 18, 3, padding=1),
                DeformConv2d(6, 6, 3, padding=1),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x, self.offset(x))

    with pytest.raises(SecondDerivativeError, match=r"2\.conv \(DeformConv2d\)"):
        step(JAFR, around(Deformable()))


def test_a_teacher_that_is_asked_in_each_pass_misleads_differences() -> None:
    student, teacher = around(nn.Identity()), around(nn.Conv2d(6, 6, 1))
    for parameter in teacher.parameters():
        parameter.data *= 2.5

    def distilled(x: Tensor) -> Tensor:
        with torch.no_grad():
            targets = teacher(x).softmax(1)
        return student(x) - targets * 20

    step(JAFR, distilled)
    with pytest.warns(InexactGradientWarning, match=r"no_grad.*DoubleBackprop\(\), which agrees"):
        step(DIFFERENCES, distilled)


@pytest.mark.parametrize("regularizer", [JaFR(), GradAlign(), InputGradientNorm()], ids=repr)
def test_the_default_step_of_differences_holds_or_the_one_that_does_is_said(regularizer) -> None:
    torch.manual_seed(0)
    model = PreActResNet18(10, width=8, activation=nn.GELU)
    x, y = torch.rand(32, 3, 32, 32), torch.randint(10, (32,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def gradient(**settings) -> Tensor:
        torch.manual_seed(1)
        model.zero_grad()
        objective = Objective([regularizer], **settings)
        objective.penalties(lambda z: F.cross_entropy(model(z), y), x).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    exact = gradient()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        off = ((gradient(differentiation=FiniteDifference()) - exact).norm() / exact.norm()).item()
    assert off < 0.05 or any("would do" in str(warning.message) for warning in said)
    with pytest.warns(InexactGradientWarning, match=r"FiniteDifference\(step=[\d.e-]+\) would do"):
        gradient(differentiation=FiniteDifference(step=0.3))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).mT
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return self.attention(tokens, tokens, tokens)[0].mT.unflatten(2, x.shape[2:])


RIGHT: dict[str, nn.Module] = {
    "dropout": nn.Dropout(0.5),
    "batch norm": nn.BatchNorm2d(6),
    "group norm": nn.GroupNorm(2, 6),
    "max pooling": nn.MaxPool2d(3, 1, 1),
    "attention": Attention(),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Conv2d(6, 6, 1)),
    "hardswish": nn.Hardswish(),
    "a custom function": Module(lambda conv, x: function(slope).apply(conv(x))),
    "layers that are not used": Module(lambda conv, x: x),
}


@pytest.mark.parametrize("activation", [nn.GELU, nn.ReLU])
@pytest.mark.parametrize("module", RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("regularizer", [JaFR(), GradAlign()], ids=repr)
def test_right_models_pass_in_silence_and_leave_no_trace(
    module: nn.Module, activation: type[nn.Module], regularizer
) -> None:
    torch.manual_seed(2)
    model = around(copy.deepcopy(module), activation=activation)
    before = copy.deepcopy(model.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(Objective([regularizer]), model)
        warnings.simplefilter("ignore", KinkedActivationWarning)
        if not isinstance(module, nn.MaxPool2d):  # whose maxima change places along a difference
            step(Objective([regularizer], differentiation=FiniteDifference()), model)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
    tracked = [b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")]
    assert all(count == 2 for count in tracked)  # the main passes alone


@pytest.mark.parametrize(
    ("objective", "most"),
    [(JAFR, 3), (Objective([GradAlign()]), 3), (Objective(mixer=FGSM()), 1), (DIFFERENCES, 3)],
    ids=repr,
)
def test_only_the_first_step_costs_more(objective: Objective, most: int) -> None:
    model, calls = around(nn.BatchNorm2d(6)), []

    def counted(x: Tensor) -> Tensor:
        calls.append(x.dtype)
        return model(x)

    counts = []
    for _ in range(3):
        calls.clear()
        step(objective, counted)
        counts.append(len(calls))
    assert counts[1] == counts[2]
    assert 0 < counts[0] - counts[1] <= most


def test_functional_calls_keep_their_own_tensors() -> None:
    model = around(nn.BatchNorm2d(6))
    others = {name: nn.Parameter(p.detach() * 1.1) for name, p in model.named_parameters()}
    before = {name: (p, p.detach().clone()) for name, p in others.items()}
    step(JAFR, lambda x: torch.func.functional_call(model, others, x))  # pyright: ignore[reportArgumentType]
    for name, (parameter, value) in before.items():
        assert others[name] is parameter
        assert torch.equal(parameter, value)
