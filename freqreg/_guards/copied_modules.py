"""Passes on copies of parameters and buffers, which leave no trace on the model."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, jit, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from freqreg._graph.module_calls import named_modules


class Copies:
    """The copies that modules find instead of their own tensors, while they are called.

    Args:
        shift: what is added to the copies of some parameters.
        double: copy into double precision.
        parameters: copy the parameters as well, and not the buffers alone.
    """

    def __init__(
        self,
        shift: dict[Tensor, Tensor] | None = None,
        *,
        double: bool = False,
        parameters: bool = True,
    ) -> None:
        self.double = double
        self.of: dict[Tensor, Tensor] = {}
        self.names: dict[nn.Module, str] = {}
        self._shift, self._parameters = shift or {}, parameters
        self._keys: dict[Tensor, str] = {}
        self._replaced: list[tuple[dict[str, Tensor | None], str, Tensor]] = []
        self._outermost: list[nn.Module] = []

    def enter(self, module: nn.Module) -> None:
        """Let a module that is called from outside of all others find copies."""
        if not self._outermost:
            for part, name in named_modules(module).items():
                self._replace(part, self.names.setdefault(part, name))
        if not self._outermost or module is self._outermost[0]:
            self._outermost.append(module)

    def leave(self, module: nn.Module | None = None) -> None:
        """Give all modules their own tensors back, when the outermost returns."""
        if self._outermost and module in (None, self._outermost[0]):
            self._outermost.pop()
            if module is None or not self._outermost:
                self._outermost.clear()
                while self._replaced:
                    held, key, tensor = self._replaced.pop()
                    held[key] = tensor

    def written(self) -> list[str]:
        """The names of parameters whose copies have received a gradient."""
        return [name for copy, name in self._keys.items() if copy.grad is not None]

    def _replace(self, part: nn.Module, name: str) -> None:
        if isinstance(part, jit.ScriptModule):
            raise TypeError("TorchScript keeps its tensors to itself")
        owned: list[Any] = (
            [part._parameters, part._buffers] if self._parameters else [part._buffers]
        )
        for held in owned:
            for key, tensor in held.items():
                if tensor is not None:
                    self._replaced.append((held, key, tensor))
                    held[key] = copy = self._copy(tensor)
                    self._keys[copy] = f"{name}.{key}"

    def _copy(self, tensor: Tensor) -> Tensor:
        if tensor not in self.of:
            copy = tensor.detach().clone()
            if self.double and copy.is_floating_point():
                copy = copy.double()
            if tensor in self._shift:
                copy += self._shift[tensor]
            self.of[tensor] = copy.requires_grad_(tensor.requires_grad)
        return self.of[tensor]


@contextmanager
def copied_modules(copies: Copies) -> Iterator[None]:
    """Within, modules that are called in this thread find `copies`."""
    ours = threading.get_ident()

    def begin(module: nn.Module, _: object) -> None:
        if threading.get_ident() == ours:
            copies.enter(module)

    def end(module: nn.Module, *_: object) -> None:
        if threading.get_ident() == ours:
            copies.leave(module)

    hooks = (
        register_module_forward_pre_hook(begin),
        register_module_forward_hook(end, always_call=True),
    )
    try:
        with torch.enable_grad():
            yield
    finally:
        for hook in hooks:
            hook.remove()
        torch.nn.modules.module._global_forward_hooks_always_called.pop(hooks[1].id, None)
        copies.leave()
