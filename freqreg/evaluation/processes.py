"""Evaluation that several processes share, with the results of one process."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor, distributed

from freqreg._collectives import in_several_processes
from freqreg.errors import DistributedError

Value = TypeVar("Value")

_place: ContextVar[tuple[int, int] | None] = ContextVar("place", default=None)
"""Rank and number of the processes that share an evaluation; None: nothing is shared."""


class ProcessError(DistributedError):
    """Another process has failed; it prints the reason."""


@contextmanager
def shared_evaluation() -> Iterator[None]:
    """Share evaluations within over the process group; the results are those of one process.

    Every process makes the same calls: each takes its share of the images, and all get the whole
    result. Only the first writes files and draws progress bars. Outside of this context a process
    evaluates alone, so one process may do so while the others wait. Without a process group, or
    with one process in it, the context changes nothing.

    Example:
        >>> from freqreg.evaluation import LabelledImages, evaluate
        >>> test = LabelledImages((255 * images).byte(), labels)
        >>> with shared_evaluation():
        ...     record = evaluate(model.eval(), test, ["clean", "noise"], file="scores.json")

    Raises:
        ProcessError: another process has failed.
    """
    if _place.get() is not None or not in_several_processes():
        yield
        return
    token = _place.set((distributed.get_rank(), distributed.get_world_size()))
    try:
        yield
        exchanged(None)  # raises if another process has failed
    except ProcessError:
        raise
    except Exception as error:
        try:
            _exchange(repr(error), None)
        except ProcessError as other:  # of all that fail at once, the first gives the reason
            raise other from error
        except RuntimeError:  # the group itself has failed
            pass
        raise
    finally:
        _place.reset(token)


def is_main() -> bool:
    """Return whether this process writes, prints and draws."""
    return (_place.get() or (0, 1))[0] == 0


def exchanged(value: Value) -> list[Value]:
    """Return each process's value, by rank; only this one's where nothing is shared.

    Raises:
        ProcessError: another process has failed.
    """
    return [value] if _place.get() is None else _exchange(None, value)


def from_main(make: Callable[[], Value]) -> Value:
    """Return in all processes what `make` returns in the first."""
    made = make() if is_main() else None
    return exchanged(made)[0]  # pyright: ignore[reportReturnType]


def main_first(make: Callable[[], Value]) -> Value:
    """Run `make` in each process: in the first, then in the others, which find its files."""
    if not is_main():
        exchanged(None)
        return make()
    made = make()
    exchanged(None)
    return made


@dataclass(frozen=True)
class Share:
    """This process's share of some images: each process takes every `processes`-th one."""

    count: int  # number of images in all processes
    rank: int = 0  # rank of this process
    processes: int = 1  # number of processes

    @classmethod
    def of(cls, count: int) -> "Share":
        """Return the share of `count` images; all where there are fewer images than processes."""
        rank, processes = _place.get() or (0, 1)
        return cls(count, rank, processes) if count >= processes else cls(count)

    @property
    def rows(self) -> Int64[Tensor, " rows"]:
        """Rows of this process's images."""
        return torch.arange(self.rank, self.count, self.processes)

    def gathered(self, values: Shaped[Tensor, "rows *shape"]) -> Shaped[Tensor, "images *shape"]:
        """Return the values of all images, given those of this process's rows."""
        if self.processes == 1:
            return values
        whole = values.new_empty(self.count, *values.shape[1:])
        for rank, some in enumerate(exchanged(values.cpu())):
            whole[rank :: self.processes] = some.to(values.device)
        return whole

    def summed(self, values: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the sum over all processes."""
        if self.processes == 1:
            return values
        return torch.stack(exchanged(values.cpu())).sum(0).to(values.device)


@contextmanager
def launched_processes() -> Iterator[None]:
    """Share evaluations within over the processes of torchrun or accelerate launch.

    Each process uses a GPU of its own, where there are GPUs. Only the first prints.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not in_several_processes()
    if launched:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        # results and errors are exchanged on the CPU; early processes wait for the others
        distributed.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        with shared_evaluation(), ExitStack() as stack:
            if not is_main():
                stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            yield
    finally:
        if launched:
            distributed.destroy_process_group()


def _exchange(error: str | None, value: Value) -> list[Value]:
    """Return all processes' values, or raise the error of the first process that has one."""
    rank, processes = _place.get() or (0, 1)
    found: list[Any] = [None] * processes
    distributed.all_gather_object(found, (error, value))
    failed = next((n for n, (error, _) in enumerate(found) if error is not None), rank)
    if failed != rank:
        raise ProcessError(f"Process {failed} of {processes} has failed: {found[failed][0]}")
    return [value for _, value in found]
