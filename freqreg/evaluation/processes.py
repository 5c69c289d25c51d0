"""Evaluation shared out over several processes, with the results of one."""

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
"""Rank and number of the processes that share an evaluation; None: each is by itself."""


class ProcessError(DistributedError):
    """Another process, which says why, has failed."""


@contextmanager
def shared_evaluation() -> Iterator[None]:
    """Evaluation within is shared out over the process group, and has the results of one process.

    Every process makes the same calls: each takes its share of the images, and all have the whole
    answer. The first alone writes files and draws progress bars. Elsewhere a process evaluates
    by itself, so one of several may do so while the others wait. Without a process group, or
    with one process in it, this changes nothing.

    Example:
        >>> from freqreg.evaluation import LabelledImages, evaluate
        >>> test = LabelledImages((255 * images).byte(), labels)
        >>> with shared_evaluation():
        ...     record = evaluate(model.eval(), test, ["clean", "noise"], file="scores.json")

    Raises:
        ProcessError: another process has failed within.
    """
    if _place.get() is not None or not in_several_processes():
        yield
        return
    token = _place.set((distributed.get_rank(), distributed.get_world_size()))
    try:
        yield
        exchanged(None)  # whether all got here
    except ProcessError:
        raise
    except Exception as error:
        try:
            _exchange(repr(error), None)
        except ProcessError as other:  # of all that fail at once, the first says why
            raise other from error
        except RuntimeError:  # the group itself has failed
            pass
        raise
    finally:
        _place.reset(token)


def is_main() -> bool:
    """Whether this process writes, prints and draws."""
    return (_place.get() or (0, 1))[0] == 0


def exchanged(value: Value) -> list[Value]:
    """What each process gives, by rank; of this one alone where nothing is shared.

    Raises:
        ProcessError: another process has failed instead.
    """
    return [value] if _place.get() is None else _exchange(None, value)


def from_main(make: Callable[[], Value]) -> Value:
    """What the first process makes, in all of them."""
    made = make() if is_main() else None
    return exchanged(made)[0]  # pyright: ignore[reportReturnType]


def main_first(make: Callable[[], Value]) -> Value:
    """What each process makes; the others begin once the first is done, and find what it left."""
    if is_main():
        made = make()
        exchanged(None)
        return made
    exchanged(None)
    return make()


@dataclass(frozen=True)
class Share:
    """The rows that are this process's, of some images.

    Args:
        count: how many images there are.
        rank: of this process.
        processes: they take every so manieth image.
    """

    count: int
    rank: int = 0
    processes: int = 1

    @classmethod
    def of(cls, count: int) -> "Share":
        """A share of so many images; all of them where there are fewer than processes."""
        rank, processes = _place.get() or (0, 1)
        return cls(count, rank, processes) if count >= processes else cls(count)

    @property
    def rows(self) -> Int64[Tensor, " rows"]:
        """Places of this process's images."""
        return torch.arange(self.rank, self.count, self.processes)

    def gathered(self, values: Shaped[Tensor, "rows *shape"]) -> Shaped[Tensor, "images *shape"]:
        """The values of all images, from those of this process's rows."""
        if self.processes == 1:
            return values
        whole = values.new_empty(self.count, *values.shape[1:])
        for rank, some in enumerate(exchanged(values.cpu())):
            whole[rank :: self.processes] = some.to(values.device)
        return whole

    def summed(self, values: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The sum over all processes, the same in each."""
        if self.processes == 1:
            return values
        return torch.stack(exchanged(values.cpu())).sum(0).to(values.device)


@contextmanager
def launched_processes() -> Iterator[None]:
    """The processes that torchrun or accelerate launch started share what is evaluated within.

    Each has a GPU of its own, where there are some. Others than the first print nothing.
    """
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not in_several_processes()
    if launched:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        # numbers and errors are exchanged by the hosts, and whoever is done waits for the others
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
    """All processes' values, or the error of the first that has one; each sends its own once."""
    rank, processes = _place.get() or (0, 1)
    found: list[Any] = [None] * processes
    distributed.all_gather_object(found, (error, value))
    failed = next((n for n, (error, _) in enumerate(found) if error is not None), rank)
    if failed != rank:
        raise ProcessError(f"Process {failed} of {processes} has failed: {found[failed][0]}")
    return [value for _, value in found]
