"""Batches whose order depends on (seed, epoch) alone, from any batch of the epoch."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator, skip_first_batches
from torch.utils.data import DataLoader, IterableDataset, Sampler

from freqreg._step.randomness import RandomState
from freqreg.errors import SettingError


def derived_seed(*parts: int) -> int:
    """Return a 63-bit seed that differs if any of `parts` differs."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def untouched_rng(device: torch.device | None = None) -> Iterator[None]:
    """Restore torch's global generators, of the CPU and of `device`, afterwards."""
    devices = frozenset() if device is None else frozenset({device})
    state = RandomState.of_torch(devices)  # a data set goes on drawing from others
    try:
        yield
    finally:
        state.restore()


class SeededSampler(Sampler[int]):
    """Any sampler, with generators seeded by (seed, epoch) alone.

    The trainer sets `epoch`. There is no `set_epoch`: accelerate would call it with the number of
    iterations begun, which a resume changes.
    """

    def __init__(self, sampler: Sampler[int], seed: int) -> None:
        self.sampler, self.seed, self.epoch = sampler, seed, 0

    def __len__(self) -> int:
        return len(self.sampler)  # pyright: ignore[reportArgumentType]

    def __iter__(self) -> Iterator[int]:
        seed = derived_seed(self.seed, self.epoch)
        with untouched_rng():
            for generator in (torch.default_generator, getattr(self.sampler, "generator", None)):
                if generator is not None:
                    generator.manual_seed(seed)
            if hasattr(self.sampler, "set_epoch"):
                self.sampler.set_epoch(self.epoch)  # pyright: ignore[reportAttributeAccessIssue]
            return iter(list(self.sampler))


class Batches:
    """A prepared loader whose epochs can begin at any batch.

    Exact if the data set is deterministic. Random augmentation belongs in the trainer's `augment`,
    because loaders fetch ahead of the training step.
    """

    def __init__(self, accelerator: Accelerator, loader: DataLoader, seed: int) -> None:
        self._sampler = SeededSampler(_unseeded_sampler(loader), seed)
        loader.batch_sampler.sampler = self._sampler  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]
        self._loader = accelerator.prepare_data_loader(loader)
        if len(self) == 0:
            raise _no_batch(loader)

    def __len__(self) -> int:
        return len(self._loader)

    def of_epoch(self, epoch: int, *, skip: int = 0) -> Iterator[Any]:
        """Yield the batches of `epoch` after the first `skip`, without loading these."""
        self._sampler.epoch = epoch
        loader = skip_first_batches(self._loader, skip) if skip else self._loader
        batches = iter(loader)
        with untouched_rng():  # a loader that starts draws a seed for its workers
            first = next(batches)
        yield first
        yield from batches


def _unseeded_sampler(loader: DataLoader) -> Sampler[int]:
    sampler = getattr(loader.batch_sampler, "sampler", None)
    if isinstance(loader.dataset, IterableDataset) or sampler is None:
        raise SettingError(
            f"The loader of {type(loader.dataset).__name__} has no sampler whose order could be "
            "seeded and resumed. Use a data set with indices, and give the DataLoader "
            "shuffle=True or sampler=... with batch_size=..., or a BatchSampler."
        )
    return sampler.sampler if isinstance(sampler, SeededSampler) else sampler


def _no_batch(loader: DataLoader) -> SettingError:
    batches = loader.batch_sampler
    size, drop_last = (getattr(batches, name, None) for name in ("batch_size", "drop_last"))
    return SettingError(
        f"The loader of {type(loader.dataset).__name__} yields no batch: the data set has "
        f"{len(loader.dataset)} images; batch_size={size}, drop_last={drop_last}. "  # pyright: ignore[reportArgumentType]
        "Give it more images, a smaller batch_size, or drop_last=False."
    )
