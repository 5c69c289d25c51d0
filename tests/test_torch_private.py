"""The private names of torch are in one file, and each has a fallback that holds."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from freqreg import FGSM, FiniteDifference, GradAlign, JaFR, Objective, _torch_private
from freqreg._double_backward import mode
from freqreg._graph.autograd import nodes
from freqreg._guards import distributed_wrappers
from freqreg._torch_private import is_checkpointing, saves_plainly
from freqreg.errors import LowPrecisionError, SettingError
from tests.references import smooth_net
from tests.test_imports import ROOT, SOURCES

OF_OTHERS = {"_fingerprint": "datasets", "_attacks": "torchattacks", "_fields": "named tuples"}
LOOK_UPS = ("getattr", "hasattr", "setattr", "delattr")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in OF_OTHERS


def named(tree: ast.AST) -> Iterator[str]:
    """Private names that a file takes from elsewhere: imports, and attributes of all but self."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if not module.startswith(
                "freqreg"
            ):
                yield from filter(is_private, module.split("."))
                yield from (alias.name for alias in names if is_private(alias.name))
            case ast.Import(names=names):
                yield from (p for alias in names for p in alias.name.split(".") if is_private(p))
            case ast.Attribute(value=ast.Name("self" | "cls")):
                pass
            case ast.Attribute(attr=name) if is_private(name):
                yield name
            case ast.Call(func=ast.Name(function), args=[_, ast.Constant(str(name)), *_]):
                if function in LOOK_UPS and is_private(name):
                    yield name


def defined(tree: ast.AST) -> set[str]:
    """Names that a file gives to its own functions, classes and attributes."""
    attributes = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    return attributes | {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


TREES = {name: ast.parse((ROOT / path).read_text()) for name, path in SOURCES.items()}
OURS = set[str]().union(*map(defined, TREES.values()))


@pytest.mark.parametrize("module", sorted(TREES.keys() - {"freqreg._torch_private"}))
def test_no_other_file_names_a_private_of_torch(module: str) -> None:
    assert not set(named(TREES[module])) - OURS
    ours = [n for n in ast.walk(TREES[module]) if isinstance(n, ast.Attribute)]
    assert not [node.attr for node in ours if ast.unparse(node).startswith("torch.ops.")]


def test_the_file_itself_names_some() -> None:
    assert "_top_saved_tensors_default_hooks" in set(named(TREES["freqreg._torch_private"]))


@pytest.fixture(params=["newest", "2.6"])
def torch_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "2.6":
        monkeypatch.setattr(_torch_private, "_autograd", SimpleNamespace())  # torch needs its own
    return request.param


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing_is_seen(torch_version: str, reentrant: bool) -> None:
    found: list[tuple[bool, bool]] = []

    def block(x: Tensor) -> Tensor:
        found.append((is_checkpointing(), saves_plainly()))
        return x.exp()

    x = torch.zeros(1, requires_grad=True)
    block(x)
    checkpoint(block, x, use_reentrant=reentrant)
    assert found[0] == (False, True)
    assert reentrant or found[1] == (True, False)


def checkpointed(*layers: nn.Module) -> nn.Module:
    block, head = nn.Sequential(*layers), nn.Linear(4, 4)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.head = block, head

        def forward(self, x: Tensor) -> Tensor:
            features = checkpoint(self.block, x, use_reentrant=False)
            assert isinstance(features, Tensor)
            return self.head(features.mean((2, 3)))

    return Model()


def test_batch_norm_with_checkpointing_is_refused(torch_version: str) -> None:
    model = checkpointed(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    x, y = torch.rand(4, 3, 8, 8), torch.arange(4)
    with pytest.raises(SettingError, match="activation checkpointing"):
        Objective((), FGSM())(lambda z: F.cross_entropy(model(z), y), x)


def test_second_derivatives_are_fast_wherever_nothing_hinders(torch_version: str) -> None:
    x = torch.rand(2, 3, 8, 8)
    with mode.FastDoubleBackward(mode.InputPass(x)):
        y = F.relu(x.clone().requires_grad_())
    assert "ReLUBackward" in str(y.grad_fn)


@pytest.mark.parametrize("name", ["peek_interpreter_stack", "threshold_backward"])
def test_without_a_private_name_torch_s_own_derivatives_are_taken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "peek_interpreter_stack":
        monkeypatch.delattr(_torch_private._functorch, name)
    else:
        monkeypatch.setattr(_torch_private, "_KERNELS", ("no_such_kernel",))
        monkeypatch.setattr(mode, "has_kernels", _torch_private.has_kernels.__wrapped__)
    model, x, y = nn.Conv2d(3, 4, 3), torch.rand(4, 3, 8, 8), torch.arange(4)
    with mode.FastDoubleBackward(mode.InputPass(x)):
        assert "ReluBackward0" in str(F.relu(model(x)).grad_fn)
    objective = Objective([JaFR()])
    objective(lambda z: F.cross_entropy(F.gelu(model(z)).mean((2, 3)), y), x).backward()
    assert model.weight.grad is not None


class Untold:
    """A node of a torch that says nothing but its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name


def test_what_cannot_be_told_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _torch_private.in_half_precision(Untold("MulBackward0"))
    assert _torch_private.normalises_by_batch(Untold("CudnnBatchNormBackward0"))
    assert not _torch_private.normalises_by_batch(Untold("MulBackward0"))
    monkeypatch.setattr("freqreg._guards.model_compatibility.in_half_precision", lambda _: True)
    layer, x = nn.Conv2d(3, 4, 3), torch.rand(4, 3, 8, 8)
    objective = Objective([JaFR()], differentiation=FiniteDifference())
    with pytest.raises(LowPrecisionError):
        objective(lambda z: F.gelu(layer(z)).square().mean(), x)


def test_names_that_only_help_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(DistributedDataParallel, "_get_active_ddp_module")
    assert _torch_private.wrapper_around() is None
    hook = nn.modules.module.register_module_forward_hook(lambda *_: None)
    with monkeypatch.context() as within:
        within.setattr(_torch_private, "modules", SimpleNamespace())
        _torch_private.remove_forward_hook(hook)
    plain = nn.Linear(1, 1)
    assert not _torch_private.is_replica(plain)
    assert not _torch_private.is_compiled_module(plain)
    assert _torch_private.is_compiled_module(cast(nn.Module, torch.compile(plain)))


def test_nodes_are_known_by_their_names() -> None:
    """Of this version of torch, whatever it is."""
    x = torch.rand(1, 2, 4, 4, requires_grad=True)
    attention = F.scaled_dot_product_attention(x, x, x).sum()
    (grad,) = torch.autograd.grad(attention, x, create_graph=True)
    assert any(_torch_private.lacks_derivative(node) for node in nodes(grad))
    kinked = [F.relu, F.leaky_relu, F.hardtanh, F.hardswish, F.hardsigmoid]
    assert {f(x).grad_fn.name() for f in kinked} <= _torch_private.KINKED
    norm = F.batch_norm(x, None, None, training=True).grad_fn
    assert _torch_private.normalises_by_batch(norm)
    still = F.batch_norm(x, torch.zeros(2), torch.ones(2), training=False).grad_fn
    assert not _torch_private.normalises_by_batch(still)
    half = x.to(torch.bfloat16).exp()
    assert _torch_private.in_half_precision(half.grad_fn)
    assert not _torch_private.in_half_precision(x.exp().grad_fn)
    assert _torch_private.storage_of(x[0]) == _torch_private.storage_of(x.detach())
    assert _torch_private.storage_of(x) != _torch_private.storage_of(x.detach().clone())
    assert _torch_private.version(x.detach().clone().add_(1)) == 1


def test_sums_and_means_over_images_are_told_apart() -> None:
    """Of this version of torch, whatever it is; of one that says nothing, none is a sum."""
    x, y = torch.rand(8, 3, requires_grad=True), torch.zeros(8, dtype=torch.long)
    sums = [x.sum(), x.sum(0), x.sum(-2), F.cross_entropy(x, y, reduction="sum")]
    assert all(_torch_private.is_sum_over(s.grad_fn, 8) for s in sums)
    others = [x.sum(1), x.mean(0), x.mean(), x.T.sum(0), F.cross_entropy(x, y)]
    assert not any(_torch_private.is_sum_over(o.grad_fn, 8) for o in others)
    reducing = [x.sum(), x.sum(0), x.mean(-2), x.mean(), F.nll_loss(x, y)]
    assert all(_torch_private.reduces_images(r.grad_fn, 8) for r in reducing)
    for other in (x.mean(-1), F.nll_loss(x[0], y[0]), F.nll_loss(x[:1], y[:1])):
        assert not _torch_private.reduces_images(other.grad_fn, 8)
    total = x.sum()
    for scaled, by in ((total * 3, 3), (-total, 1), (1 + total, 1), (total * torch.tensor(3), 3)):
        assert (total.grad_fn, by) in _torch_private.scaled_parents(scaled.grad_fn)
    assert not _torch_private.scaled_parents((total / 3).grad_fn)
    assert not _torch_private.is_sum_over(Untold("NllLossBackward0"), 8)
    assert not _torch_private.is_sum_over(Untold("SumBackward0"), 8)


def test_random_activations_are_known_in_train_mode() -> None:
    x = torch.rand(2, requires_grad=True)
    nodes = [F.rrelu(x, training=training).grad_fn for training in (True, False)]
    assert list(map(_torch_private.draws_for_negatives, nodes)) == [True, False]


def test_buffers_are_broadcast_in_the_first_pass_of_a_step_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a group of one process that is told to be several."""
    distributed.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(nn.Sequential(smooth_net().float(), nn.BatchNorm1d(3)))
        broadcasts: list[int] = []
        monkeypatch.setattr(model, "_sync_buffers", lambda: broadcasts.append(1))
        monkeypatch.setattr(distributed_wrappers, "in_several_processes", lambda: True)
        objective = Objective([JaFR(0.1), GradAlign(0.1)], mixer=FGSM())
        x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
        for step in (1, 2):
            objective(lambda images: F.cross_entropy(model(images), y), x).backward()
            assert len(broadcasts) == step
    finally:
        distributed.destroy_process_group()
