"""Batch norms in blocks that FSDP2 shards: their parameters are gathered for the time of a call."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from freqreg import FGSM, FiniteDifference, JaFR, Objective


@pytest.fixture(autouse=True)
def one_process(tmp_path: Path) -> Iterator[None]:
    meeting_point = (tmp_path / "processes").as_uri()
    distributed.init_process_group("gloo", init_method=meeting_point, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    "objective",
    [Objective((), FGSM()), Objective([JaFR(0.01)], differentiation=FiniteDifference())],
    ids=repr,
)
@pytest.mark.parametrize("given", [True, False])
def test_they_are_known_and_updated_once(objective: Objective, given: bool) -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU())
    model = nn.Sequential(block, nn.Flatten(), nn.Linear(4 * 36, 3))
    mesh = init_device_mesh("cpu", (1,))
    for sharded in (block, model):
        fully_shard(sharded, mesh=mesh)
    x, y = torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    loss = objective(lambda z: F.cross_entropy(model(z), y), x, model=model if given else None)
    loss.backward()
    assert block.get_buffer("1.num_batches_tracked") == 1
