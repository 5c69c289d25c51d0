"""Which modules' own derivatives are not those of their values."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_modules
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from freqreg._graph.module_calls import innermost
from freqreg._guards.copied_modules import Copies, copied_modules
from freqreg.input_gradients import LossFn

_LENGTH = 1e-8


def faulty_modules(run: LossFn, point: Tensor) -> list[str]:
    """The innermost modules whose first or second derivative a measurement contradicts."""
    copies = Copies(double=True)
    faulty: dict[nn.Module, str] = {}
    examining = False

    def examine(module: nn.Module, args: object, kwargs: object, _: object) -> None:
        nonlocal examining
        if examining:
            return
        examining = True
        try:
            if any(_is_faulty(module, (args, kwargs), seed) for seed in range(4)):
                faulty[module] = copies.names[module]
        except Exception:  # a module that cannot be called once more is not judged
            pass
        finally:
            examining = False

    hook = register_module_forward_hook(examine, with_kwargs=True)
    try:
        with copied_modules(copies):
            run(point.detach().double().requires_grad_())
    finally:
        hook.remove()
        torch_modules._global_forward_hooks_with_kwargs.pop(hook.id, None)
    return [f"{name} ({type(module).__name__})" for module, name in innermost(faulty).items()]


def _is_faulty(module: nn.Module, arguments: object, seed: int) -> bool:
    """Along a random direction of inputs and parameters: of values, and of the inputs' gradient."""
    trial = _Trial(module, arguments, seed)
    found = trial.values(0.0)
    variables = [*trial.moved.values(), *trial.parameters]
    expected = [_along(value, variables, trial.directions) for value in found]
    near, far = trial.values(_LENGTH), trial.values(10 * _LENGTH)
    for value, one, ten, (claimed, scale) in zip(found, near, far, expected, strict=True):
        measured = ((one - value) / _LENGTH).item()
        kink = abs(((ten - value) / (10 * _LENGTH)).item() - measured)
        allowed = 0.1 * max(scale, abs(measured)) + 1e-4
        if kink < allowed < abs(claimed - measured):
            return True
    return False


class _Trial:
    """A module's call, with its inputs and parameters moved along a random direction."""

    def __init__(self, module: nn.Module, arguments: object, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._module, self._random_state = module, torch.get_rng_state()
        self._leaves, self._form = tree_flatten(arguments)
        found = enumerate(self._leaves)
        self._inputs = {i: v.detach() for i, v in found if _is_real(v) and v.requires_grad}
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        scales = [p.detach().square().mean().sqrt() for p in self.parameters]
        steps = [self._random(p) * s for p, s in zip(self.parameters, scales, strict=True)]
        self.directions = [*map(self._random, self._inputs.values()), *steps]
        self._weights = [self._random(v) for v in self._inputs.values()]
        self._cotangents: list[Tensor] = []
        self.moved: dict[int, Tensor] = {}

    def values(self, length: float) -> tuple[Tensor, Tensor]:
        """A random combination of the outputs, and one of its gradient to the inputs."""
        inputs = zip(self._inputs.items(), self.directions, strict=False)
        self.moved = {i: (v + length * step).requires_grad_() for (i, v), step in inputs}
        self._shift(length)
        value = self._combined(self._called())
        grads = torch.autograd.grad(
            value, [*self.moved.values()], create_graph=True, materialize_grads=True
        )
        self._shift(-length)
        return value, _total((g * w).sum() for g, w in zip(grads, self._weights, strict=True))

    def _called(self) -> list[Tensor]:
        torch.set_rng_state(self._random_state)
        leaves = [
            self.moved[i].clone() if i in self.moved else v for i, v in enumerate(self._leaves)
        ]
        args, kwargs = tree_unflatten(leaves, self._form)
        return [v for v in tree_leaves(self._module.forward(*args, **kwargs)) if _is_real(v)]

    def _combined(self, outputs: list[Tensor]) -> Tensor:
        self._cotangents = self._cotangents or [self._random(v) for v in outputs]
        return _total((v * u).sum() for v, u in zip(outputs, self._cotangents, strict=True))

    def _shift(self, length: float) -> None:
        steps = self.directions[len(self._inputs) :]
        for parameter, step in zip(self.parameters, steps, strict=True):
            parameter.data.add_(length * step)  # a copy; what is saved of it is not to notice

    def _random(self, like: Tensor) -> Tensor:
        values = torch.randn(like.shape, generator=self._generator, dtype=torch.float64)
        return values.to(like.device)


def _along(value: Tensor, variables: list[Tensor], directions: list[Tensor]) -> tuple[float, float]:
    """The derivative along the directions, and its expected size."""
    if not value.requires_grad:
        return 0.0, 0.0
    grads = torch.autograd.grad(value, variables, retain_graph=True, allow_unused=True)
    products = [g * d for g, d in zip(grads, directions, strict=True) if g is not None]
    if not products:
        return 0.0, 0.0
    return sum(p.sum().item() for p in products), sum(p.norm().item() ** 2 for p in products) ** 0.5


def _total(values: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, values)


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
