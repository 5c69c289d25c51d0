"""`check` against real obstacles; what it measures; and that it leaves no trace."""

import copy
import warnings
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
import torch._functorch.config
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from freqreg import FGSM, Every, FiniteDifference, GradAlign, JaFR, Objective
from freqreg.diagnostics import DifferentiationTrial, Report, check
from freqreg.errors import (
    InputError,
    KinkedActivationWarning,
    SecondDerivativeError,
    SettingError,
)
from tests.obstacles import Attention, Doubled, around
from tests.references import gradient, jafr_penalty, smooth_net


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 3, 8, 8)


@pytest.fixture
def y() -> Tensor:
    return torch.randint(3, (4,))


def way(report: Report, name: str) -> DifferentiationTrial:
    return next(found for found in report.ways if found.name == name)


def obstacles(report: Report) -> dict[str, tuple[str, ...]]:
    return {obstacle.what: obstacle.modules for obstacle in report.obstacles}


def test_a_smooth_net_has_no_obstacle(x: Tensor, y: Tensor) -> None:
    report = check(smooth_net().float(), x, y)
    assert [found.name for found in report.ways] == [
        "DoubleBackprop()",
        "FiniteDifference()",
        "FiniteDifference(), streamed",
        "FiniteDifference(scheme='one-sided')",
    ]
    assert all(found.works for found in report.ways)
    assert report.obstacles == ()
    assert report.notes == ()


class Detached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * x.detach()


def test_the_slope_of_the_penalties_tells_which_way_is_wrong(x: Tensor, y: Tensor) -> None:
    model = around(Detached())
    before = [parameter.clone() for parameter in model.parameters()]
    note = check(model, x, y).notes[-1]
    assert note.endswith("FiniteDifference() is wrong here. Look at 2 (Detached).")
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_a_step_that_is_too_long_is_noted(x: Tensor, y: Tensor) -> None:
    model = nn.Sequential(Sine(), around(nn.GELU()))
    differences = FiniteDifference(step=0.1)
    (first, *_) = check(model, x, y, Objective([JaFR()], differentiation=differences)).notes
    assert first.startswith("Finite differences have an error of about")


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(20 * x)


class SegmentMaxima(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.segment_reduce(x, "max", lengths=torch.ones(len(x), dtype=torch.int64))


@pytest.mark.parametrize(
    ("module", "what"),
    [
        (Attention(), "fused attention"),
        (Doubled(), "custom autograd function without a second derivative"),
        (SegmentMaxima(), "operation without a second derivative"),
    ],
)
def test_operations_without_second_derivative(
    module: nn.Module, what: str, x: Tensor, y: Tensor
) -> None:
    body = nn.Sequential(module, nn.Identity())
    report = check(around(body), x, y)
    assert obstacles(report) == {what: (f"2.0 ({type(module).__name__})",)}
    assert "SecondDerivativeError" in str(way(report, "DoubleBackprop()").error)
    assert way(report, "FiniteDifference()").works
    assert "FiniteDifference()" in report.obstacles[0].advice


def test_every_blocking_module_is_named_and_nothing_else(x: Tensor, y: Tensor) -> None:
    model = nn.Sequential(around(Attention())[:3], Attention(), Doubled(), around(nn.Identity())[3])
    report = check(model, x, y)
    assert obstacles(report) == {
        "fused attention": ("0.2 (Attention)", "1 (Attention)"),
        "custom autograd function without a second derivative": ("2 (Doubled)",),
    }


def test_the_advice_for_fused_attention_works(x: Tensor, y: Tensor) -> None:
    class Advised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = around(Attention())

        def forward(self, x: Tensor) -> Tensor:
            with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                return self.inner(x)

    report = check(Advised(), x, y)
    assert report.obstacles == ()
    assert way(report, "DoubleBackprop()").works


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Hardswish, nn.ReLU6])
def test_kinks(activation: Callable[[], nn.Module], x: Tensor, y: Tensor) -> None:
    module = activation()
    report = check(around(module), x, y)
    (found,) = report.obstacles
    assert found.what == "activation of the ReLU family"
    assert found.hinders == "FiniteDifference"
    assert found.modules == (f"2 ({type(module).__name__})",)


def test_kinks_spoil_the_cosine(y: Tensor) -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    cosines = {
        activation: [w.cosine for w in check(smooth_net(activation=activation), x, y).ways[1:]]
        for activation in (nn.GELU, nn.ReLU)
    }
    assert min(cosines[nn.GELU]) > 0.99  # pyright: ignore[reportArgumentType]
    assert max(cosines[nn.ReLU]) < 0.95  # pyright: ignore[reportArgumentType]


def test_sync_batch_norm(x: Tensor, y: Tensor) -> None:
    """In one process it is batch norm; what it is in several is known without running it."""
    model = nn.SyncBatchNorm.convert_sync_batchnorm(around(nn.BatchNorm2d(4)))
    report = check(model, x, y)
    assert obstacles(report) == {"SyncBatchNorm": ("2 (SyncBatchNorm)",)}
    assert all(found.works for found in report.ways)


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (nn.ReLU(inplace=True), "0 (ReLU)"),
        (nn.Sequential(nn.Identity(), nn.Hardtanh(inplace=True)), "0.1 (Hardtanh)"),
    ],
)
def test_work_in_place_on_the_images(first: nn.Module, named: str, x: Tensor, y: Tensor) -> None:
    report = check(nn.Sequential(first, around(nn.Identity())), x, y)
    assert not any(found.works for found in report.ways)
    assert obstacles(report) == {"in-place operation": (named,)}
    assert "x.clone()" in report.obstacles[0].advice


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2)


def test_work_in_place_on_what_the_input_gradient_needs(x: Tensor, y: Tensor) -> None:
    """Plain training does not notice: nothing before the first parameter has a gradient there."""

    class Exp(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.exp()

    report = check(nn.Sequential(Exp(), Doubling(), around(nn.Identity())), x, y)
    assert not way(report, "DoubleBackprop()").works
    assert obstacles(report) == {"in-place operation": ("1 (Doubling)",)}


class Checkpointed(nn.Sequential):
    def forward(self, input: Tensor) -> Tensor:
        return checkpoint(super().forward, input, use_reentrant=False)


def test_checkpointed_batch_norm(x: Tensor, y: Tensor) -> None:
    report = check(around(Checkpointed(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))), x, y)
    assert obstacles(report) == {"activation checkpointing with batch norm": ("2.1 (BatchNorm2d)",)}
    assert way(report, "DoubleBackprop()").works
    assert "checkpointing" in str(way(report, "FiniteDifference()").error)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # of dynamo's own making
@pytest.mark.parametrize("in_place", [True, False])
def test_compiled_modules(in_place: bool, x: Tensor, y: Tensor) -> None:
    model = around(nn.BatchNorm2d(4))
    if in_place:
        model.compile(backend="aot_eager")
    else:
        model[2] = cast(nn.Module, torch.compile(model[2], backend="aot_eager"))
    with torch._functorch.config.patch(donated_buffer=False):
        report = check(model, x, y)
    named = "model (Sequential)" if in_place else "2 (OptimizedModule)"
    assert obstacles(report) == {"compiled module": (named,)}
    assert not way(report, "DoubleBackprop()").works
    assert all(found.works for found in report.ways[1:])
    torch.compiler.reset()


class RunningScale(nn.Module):
    """A norm of one's own, with a running average."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Buffer(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale.lerp_(x.detach().std(), 0.1)
        return x / self.scale.clone()


def test_state_that_probes_change(x: Tensor, y: Tensor) -> None:
    """Batch norm's statistics, which are frozen, are not in the way."""
    found = obstacles(check(around(nn.Sequential(nn.BatchNorm2d(4), RunningScale())), x, y))
    assert found == {"state that every training pass updates": ("2.1 (RunningScale)",)}


def test_half_precision(x: Tensor, y: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        report = check(around(nn.Identity()), x, y)
    assert way(report, "DoubleBackprop()").works
    assert "LowPrecisionError" in str(way(report, "FiniteDifference()").error)


def test_the_share_is_that_of_the_step_written_out(y: Tensor) -> None:
    model, x = smooth_net(), torch.rand(4, 3, 8, 8, dtype=torch.float64)

    def norm_of(loss: Tensor) -> float:
        grads = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        return torch.cat([g.flatten() for g in grads if g is not None]).norm().item()

    def loss_fn(z: Tensor) -> Tensor:
        return F.cross_entropy(model(z), y)

    expected = 0.3 * norm_of(jafr_penalty(gradient(loss_fn, x, graph=True))) / norm_of(loss_fn(x))
    report = check(model, x, y, Objective([JaFR(0.3)]))
    assert way(report, "DoubleBackprop()").share == pytest.approx(expected, rel=1e-4)
    assert way(report, "FiniteDifference()").share == pytest.approx(expected, rel=0.02)


def test_random_points_and_masks_are_those_of_every_way(y: Tensor) -> None:
    """Else the cosine would compare different penalties."""
    model = nn.Sequential(nn.Dropout(0.2), smooth_net().float())
    objective = Objective([GradAlign(0.2)], FGSM(start="random"))
    report = check(model, torch.rand(4, 3, 8, 8), y, objective)
    assert report.ways[1].cosine == pytest.approx(1, abs=0.01)


def test_settings_of_the_objective_are_kept(x: Tensor, y: Tensor) -> None:
    objective = Objective([Every(JaFR(), 7)], differentiation=FiniteDifference(step=0.1))
    report = check(smooth_net().float(), x, y, objective)
    assert [found.name for found in report.ways[1:]] == [
        "FiniteDifference(step=0.1)",
        "FiniteDifference(step=0.1), streamed",
        "FiniteDifference(step=0.1, scheme='one-sided')",
    ]
    assert all(found.works for found in report.ways)


def test_it_leaves_no_trace(x: Tensor, y: Tensor) -> None:
    dropout = nn.Dropout(0.3)
    model = around(nn.Sequential(nn.BatchNorm2d(4), dropout, nn.ReLU())).eval()
    dropout.train()
    for parameter in model.parameters():
        parameter.grad = torch.rand_like(parameter)
    grads = [p.grad for p in model.parameters()]
    before = copy.deepcopy((model.state_dict(), [m.training for m in model.modules()]))
    images, state = x.clone(), torch.get_rng_state()

    check(model, x, y)

    after = model.state_dict(), [m.training for m in model.modules()]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert all(p.grad is g for p, g in zip(model.parameters(), grads, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, images)
    assert not x.requires_grad


def test_training_afterwards_is_met_as_for_the_first_time(x: Tensor, y: Tensor) -> None:
    """The errors and warnings of a model's first step are still to come."""
    model, attending = around(nn.ReLU()), around(Attention())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(model, x, y)
        check(attending, x, y)
    with pytest.warns(KinkedActivationWarning):
        Objective([JaFR()], differentiation=FiniteDifference())(
            lambda z: F.cross_entropy(model(z), y), x
        )
    with pytest.raises(SecondDerivativeError):
        Objective([JaFR()])(lambda z: F.cross_entropy(attending(z), y), x)


def test_the_model_trains_while_it_is_checked(x: Tensor, y: Tensor) -> None:
    modes: list[bool] = []
    model = around(nn.Identity()).eval()
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    check(model, x, y)
    assert all(modes)


def test_nothing_to_differentiate(x: Tensor, y: Tensor) -> None:
    with pytest.raises(SettingError, match="no regularizer"):
        check(smooth_net().float(), x, y, Objective())
    with pytest.raises(SettingError, match=r"weights .* are 0 at step 0"):
        check(smooth_net().float(), x, y, Objective([JaFR(0)]))


def test_arguments_in_another_order(x: Any, y: Any, unchecked_shapes: None) -> None:
    model: Any = smooth_net().float()
    with pytest.raises(SettingError, match=r"a Tensor.*check\(model, images, targets\)"):
        check(x, model, y)
    with pytest.raises(InputError, match=r"x has shape \(4,\)"):
        check(model, y, x)
    with pytest.raises(SettingError, match=r"Objective\(\[JaFR"):
        check(model, x, y, cast(Any, JaFR()))


def test_what_a_plain_step_raises_is_raised(x: Tensor) -> None:
    with pytest.raises(IndexError):
        check(smooth_net().float(), x, torch.full((4,), 9))


def test_any_criterion(x: Tensor) -> None:
    report = check(smooth_net().float(), x, torch.rand(4, 3), criterion=F.mse_loss)
    assert all(found.works for found in report.ways)


def test_the_report_is_readable(x: Tensor, y: Tensor) -> None:
    text = str(check(around(Attention()), x, y))
    lines = text.splitlines()
    assert lines[0] == "Sequential, 4 images of 3x8x8, jafr"
    assert lines[1].startswith("A plain step: ")
    assert lines[3].split() == ["step", "memory", "share", "cosine"]
    assert lines[4].split() == ["DoubleBackprop()", "fails"]
    assert lines[5].startswith("FiniteDifference() ")
    assert "\n\nshare: norm of the penalty's gradient" in text
    assert "SecondDerivativeError" not in text  # the obstacle says the same
    assert "- fused attention in 2 (Attention) hinders DoubleBackprop. " in text


def test_a_failure_that_no_obstacle_explains_is_told_once(x: Tensor, y: Tensor) -> None:
    report = check(smooth_net().bfloat16(), x.bfloat16(), y)
    text = str(report)
    assert text.count("LowPrecisionError") == 1
    assert "- FiniteDifference(); FiniteDifference(), streamed; Finite" in text
    assert repr(report) == text
