"""The order of the data is a function of (seed, epoch), from any batch on."""

from itertools import chain
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate_setting import data, fresh_accelerate  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    WeightedRandomSampler,
)

from freqreg.errors import SettingError
from freqreg.integrations._accelerate.batches import Batches, derived_seed

IMAGES = 23
LOADERS: dict[str, dict[str, Any]] = {
    "shuffled": {"shuffle": True, "batch_size": 4},
    "own generator": {"shuffle": True, "batch_size": 4, "generator": torch.Generator()},
    "weighted": {"sampler": WeightedRandomSampler([1.0] * IMAGES, 50), "batch_size": 4},
    "batch sampler": {"batch_sampler": BatchSampler(RandomSampler(range(IMAGES)), 4, False)},
}


def batches(loader: dict[str, Any], seed: int) -> Batches:
    return Batches(Accelerator(cpu=True), DataLoader(range(IMAGES), **loader), seed)  # pyright: ignore[reportArgumentType]


def order(batches: Batches, epoch: int, skip: int = 0) -> list[list[int]]:
    return [batch.tolist() for batch in batches.of_epoch(epoch, skip=skip)]


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS.keys())
def test_any_sampler_repeats_and_differs_between_seeds_and_epochs(loader: dict[str, Any]) -> None:
    first = batches(loader, seed=0)
    epochs = [order(first, epoch) for epoch in (0, 1, 2)]
    torch.rand(3)
    again = batches(loader, seed=0)
    assert order(again, 2) == epochs[2]
    other = batches(loader, seed=1)
    orders = [*epochs, *(order(other, epoch) for epoch in (0, 1, 2))]
    assert len({str(one) for one in orders}) == 6  # seed 1 is not seed 0 an epoch later


@given(epoch=st.integers(0, 5), skip=st.integers(0, 5))
def test_skipping_gives_the_rest(epoch: int, skip: int) -> None:
    whole = order(batches(LOADERS["shuffled"], seed=0), epoch)
    assert sorted(chain(*whole)) == list(range(IMAGES))
    assert order(batches(LOADERS["shuffled"], seed=0), epoch, skip) == whole[skip:]


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS.keys())
def test_the_global_generator_is_left_alone(loader: dict[str, Any]) -> None:
    before = torch.get_rng_state()
    order(batches(loader, seed=0), epoch=1, skip=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_trainers_may_share_a_loader() -> None:
    loader = DataLoader(range(IMAGES), batch_size=4, shuffle=True)  # pyright: ignore[reportArgumentType]
    accelerator = Accelerator(cpu=True)
    Batches(accelerator, loader, 0)
    second = Batches(accelerator, loader, 1)
    assert order(second, 3) == order(batches(LOADERS["shuffled"], seed=1), 3)


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter(range(IMAGES))


@pytest.mark.parametrize(
    "loader",
    [DataLoader(Stream(), batch_size=4), DataLoader(data(), batch_size=None)],
    ids=["stream", "single images"],
)
def test_a_loader_without_an_order_to_seed_is_refused(loader: DataLoader) -> None:
    with pytest.raises(SettingError, match="shuffle=True"):
        Batches(Accelerator(cpu=True), loader, 0)


@pytest.mark.parametrize("images", [0, 3])
def test_a_loader_without_a_batch_is_refused(images: int) -> None:
    loader = DataLoader(data(images), batch_size=4, drop_last=True)
    found = f"{images} images; batch_size=4, drop_last=True. Give it more images"
    with pytest.raises(SettingError, match=found):
        Batches(Accelerator(cpu=True), loader, 0)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=2, unique=True))
def test_seeds_differ_where_their_parts_do(parts: list[tuple[int, int]]) -> None:
    seeds = {derived_seed(*pair) for pair in parts}
    assert len(seeds) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)
