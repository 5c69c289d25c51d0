"""Norms keep their statistics in extra passes; where they cannot be reached, something is said."""

import threading
import warnings
from collections.abc import Callable
from functools import partial, reduce

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg import FGSM, PGD, FiniteDifference, GradAlign, JaFR, Objective
from freqreg._step.frozen_batch_norm import frozen_batch_norm
from freqreg.errors import LiveStateWarning, SettingError

OBJECTIVE = Objective(mixer=PGD(steps=2))


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 3, 8, 8)


def net() -> nn.Sequential:
    body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def mean_loss(*modules: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def loss_fn(images: Tensor) -> Tensor:
        output = reduce(lambda images, module: module(images), modules, images)
        return F.cross_entropy(output, torch.zeros(len(images), dtype=torch.long))

    return loss_fn


def test_extra_passes_normalise_with_the_batch_s_statistics(x: Tensor) -> None:
    norm = nn.BatchNorm2d(3)
    live = norm(x)
    with frozen_batch_norm(norm):
        torch.testing.assert_close(norm(x), live)
    assert norm.num_batches_tracked == 1


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(3), nn.InstanceNorm2d(3, track_running_stats=True)]
)
@pytest.mark.parametrize("given", [True, False])
def test_frozen_norms_return_to_life_even_after_an_error(
    norm: nn.Module, given: bool, x: Tensor
) -> None:
    before = [buffer.clone() for buffer in norm.buffers()]

    def failing() -> None:
        with frozen_batch_norm(norm if given else None):
            norm(x)
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        failing()
    after = list(norm.buffers())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    norm(x)
    assert not all(torch.equal(a, b) for a, b in zip(before, norm.buffers(), strict=True))


def test_a_norm_in_eval_mode_uses_its_running_statistics(x: Tensor) -> None:
    norm = nn.BatchNorm2d(3).eval()
    nn.init.constant_(norm.running_mean, 0.5)  # pyright: ignore[reportArgumentType]
    with frozen_batch_norm(None):
        frozen = norm(x)
    torch.testing.assert_close(frozen, norm(x))


@pytest.mark.parametrize(
    "objective",
    [
        OBJECTIVE,
        Objective([JaFR()], FGSM()),
        Objective([GradAlign()]),
        Objective([JaFR()], differentiation=FiniteDifference()),
    ],
    ids=repr,
)
def test_a_norm_outside_of_the_given_model_is_refused(objective: Objective, x: Tensor) -> None:
    backbone, head = net(), nn.BatchNorm1d(3)
    loss_fn = mean_loss(backbone, head)
    objective(loss_fn, x)
    with pytest.raises(SettingError, match="3 channels that is not in model="):
        objective(loss_fn, x, model=backbone)
    objective(loss_fn, x, model=nn.ModuleList([backbone, head]))


@pytest.mark.parametrize("objective", [OBJECTIVE, Objective([JaFR()], FGSM())], ids=repr)
def test_norms_with_other_weights_are_still_those_of_the_model(
    objective: Objective, x: Tensor
) -> None:
    model = net()
    others: dict[str, Tensor] = {
        name: nn.Parameter(p.detach() * 2) for name, p in model.named_parameters()
    }
    call = partial(torch.func.functional_call, model, others)
    objective(mean_loss(call), x, model=model)
    assert model[1].num_batches_tracked == 1


@pytest.mark.parametrize("regularizers", [(), (JaFR(),)])
@pytest.mark.parametrize("mixer", [FGSM(), None])
def test_tensors_of_a_functional_call_and_of_its_module_stay_apart(
    regularizers: tuple[JaFR, ...], mixer: FGSM | None, x: Tensor
) -> None:
    model = net()
    given: dict[str, Tensor] = {
        k: nn.Parameter(p.detach() * 2) for k, p in model.named_parameters()
    }
    given |= {k: buffer + 1 for k, buffer in model.named_buffers()}
    own, before = model.state_dict(keep_vars=True), dict(given)
    loss_fn = mean_loss(partial(torch.func.functional_call, model, given))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Objective(regularizers, mixer)(loss_fn, x)
    assert all(tensor is own[name] for name, tensor in model.state_dict(keep_vars=True).items())
    assert all(tensor is before[name] for name, tensor in given.items())


def test_a_pass_in_eval_mode_does_not_use_up_the_warning(x: Tensor) -> None:
    model = nn.Sequential(Counting(), net()).eval()
    OBJECTIVE(mean_loss(model), x)
    with pytest.warns(LiveStateWarning, match="state of Counting"):
        OBJECTIVE(mean_loss(model.train()), x)


def test_an_eager_norm_does_not_hide_that_there_is_compiled_code(x: Tensor) -> None:
    model, compiled = net(), torch.compile(lambda images: images.sin().cos(), backend="aot_eager")
    with pytest.raises(SettingError, match="runs compiled code"):
        OBJECTIVE(mean_loss(compiled, model), x)
    OBJECTIVE(mean_loss(compiled, model), x, model=model)


@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script`:FutureWarning", "ignore:`torch.jit.script`:DeprecationWarning"
)
@pytest.mark.parametrize("translate", [torch.jit.script, lambda m: exported(m)])
@pytest.mark.parametrize("given", [True, False])
def test_norms_that_cannot_be_frozen_are_named_once(
    translate: Callable[[nn.Module], nn.Module], given: bool, x: Tensor
) -> None:
    model = translate(net())
    with pytest.warns(LiveStateWarning, match="TorchScript"):
        OBJECTIVE(mean_loss(model), x, model=model if given else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OBJECTIVE(mean_loss(model), x, model=model if given else None)


def exported(model: nn.Module) -> nn.Module:
    return torch.export.export(model, (torch.rand(4, 3, 8, 8),)).module()


class Functional(nn.Module):
    """As BigGAN's code normalises; versions of the buffers do not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("stored_mean", torch.zeros(3))
        self.register_buffer("stored_var", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.stored_mean, self.stored_var, training=True)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("given", [True, False])
def test_norms_with_buffers_of_their_own_are_named(given: bool, x: Tensor) -> None:
    model = nn.Sequential(Functional(), net())
    with pytest.warns(LiveStateWarning, match="state of Functional"):
        OBJECTIVE(mean_loss(model), x, model=model if given else None)


class Around(nn.Module):
    """It calls its norm around the hooks of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm.forward(x)


def functional() -> Callable[[Tensor], Tensor]:
    """As networks without modules normalise."""
    mean, var, weight = torch.zeros(3), torch.ones(3), nn.Parameter(torch.ones(3))
    return lambda x: F.batch_norm(x, mean, var, weight, torch.zeros(3), training=True)


@pytest.mark.parametrize("regularizers", [(), (JaFR(),)])
@pytest.mark.parametrize("norm", [Around, functional])
def test_statistics_that_no_hook_sees_are_told_of_once(
    norm: Callable[[], Callable[[Tensor], Tensor]], regularizers: tuple[JaFR, ...], x: Tensor
) -> None:
    loss_fn = mean_loss(norm(), net())
    with pytest.warns(LiveStateWarning, match=r"F\.batch_norm or by norm\.forward"):
        Objective(regularizers, FGSM())(loss_fn, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Objective(regularizers, FGSM())(loss_fn, x)


def test_a_given_model_holds_norms_that_no_hook_sees(x: Tensor) -> None:
    around = Around()
    model = nn.Sequential(around, net())
    Objective([GradAlign()], FGSM())(mean_loss(model), x, model=model)
    assert around.norm.num_batches_tracked == 1


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("regularizers", [(JaFR(),), ()])
def test_lazy_modules_are_made_by_a_probe_without_a_trace(
    regularizers: tuple[JaFR, ...], given: bool, x: Tensor
) -> None:
    body = [nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.GELU(), nn.Flatten(), nn.LazyLinear(3)]
    model = nn.Sequential(*body)
    objective = Objective(regularizers, FGSM())
    objective(mean_loss(model), x, model=model if given else None).backward()
    assert model[1].num_batches_tracked == 1


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x


@pytest.mark.parametrize("given", [True, False])
def test_other_state_that_passes_update_is_named(given: bool, x: Tensor) -> None:
    model = nn.Sequential(Counting(), net())
    with pytest.warns(LiveStateWarning, match="state of Counting"):
        OBJECTIVE(mean_loss(model), x, model=model if given else None)


def test_models_of_other_threads_keep_their_statistics_live(x: Tensor) -> None:
    other = net()
    trained = threading.Thread(target=other, args=(x,))
    with frozen_batch_norm(None):
        trained.start()
        trained.join()
    assert other[1].num_batches_tracked == 1


class AssignsStatistics(nn.BatchNorm2d):
    """A norm with a forward of its own, as forums show it."""

    def forward(self, input: Tensor) -> Tensor:
        mean, var = input.mean((0, 2, 3)), input.var((0, 2, 3), unbiased=False)
        assert self.running_mean is not None
        self.running_mean = 0.1 * mean.detach() + 0.9 * self.running_mean
        return (input - mean[:, None, None]) / (var[:, None, None] + self.eps).sqrt()


@pytest.mark.parametrize("given", [False, True])
def test_a_norm_that_computes_by_itself_updates_in_the_main_pass_alone(
    given: bool, x: Tensor
) -> None:
    def trained(norm: nn.BatchNorm2d) -> tuple[Tensor | None, Tensor | None]:
        torch.manual_seed(0)
        stem = nn.Conv2d(3, 4, 3)
        model = nn.Sequential(stem, norm, nn.Flatten(), nn.Linear(144, 2))
        objective = Objective([GradAlign(1.0)], FGSM())
        seen = model if given else None
        objective(lambda images: model(images).square().mean(), x, model=seen).backward()
        return norm.running_mean, stem.weight.grad

    own, torchs = AssignsStatistics(4, affine=False), nn.BatchNorm2d(4, affine=False)
    for one, other in zip(trained(own), trained(torchs), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("given", [False, True])
def test_a_norm_that_changes_to_eval_mode_in_a_pass_uses_its_statistics(
    given: bool, x: Tensor
) -> None:
    norm = nn.BatchNorm2d(4)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
    model(x)

    def loss_fn(images: Tensor) -> Tensor:
        answers = model.train()(images)
        targets = model.eval()(images)
        model.train()
        return (answers - targets).square().mean()

    def frozen() -> Tensor:
        with torch.no_grad(), frozen_batch_norm(model if given else None):
            return loss_fn(x)

    probe, state = frozen(), str(norm.state_dict())
    again = frozen()
    assert torch.equal(probe, again)
    assert state == str(norm.state_dict())
    targets = model.eval()(x)
    expected = (model.train()(x) - targets).square().mean()
    assert expected > 0.01
    torch.testing.assert_close(probe, expected.detach())


def test_a_loss_that_reads_running_statistics_is_told_what_to_do(x: Tensor) -> None:
    norm = nn.BatchNorm2d(3)

    def loss_fn(images: Tensor) -> Tensor:
        return norm(images).square().mean() + norm.running_mean.square().sum()  # pyright: ignore[reportOptionalMemberAccess]

    def asserting(images: Tensor) -> Tensor:
        """As quantization-aware training folds a norm into its convolution."""
        answers = norm(images)
        assert isinstance(norm.running_var, Tensor), "bn.running_var must not be None"
        return answers.square().mean()

    with pytest.raises(AssertionError, match="running_var") as refused:
        Objective((), FGSM())(asserting, x)
    assert 'batch_norm="every pass"' in "".join(refused.value.__notes__)
    Objective((), FGSM(), batch_norm="every pass")(asserting, x)
    with pytest.raises(AttributeError, match="NoneType") as raised:
        Objective((), FGSM())(loss_fn, x)
    assert 'batch_norm="every pass"' in "".join(raised.value.__notes__)
    Objective((), FGSM(), batch_norm="every pass")(loss_fn, x)
