"""SyncBatchNorm in two processes, which share a GPU if there is one: what differentiations say.

Without a GPU torch has no SyncBatchNorm, and only DoubleBackprop has something to say before.

torchrun --nproc_per_node 2 -m tests.integrations.sync_batch_norm RESULTS.json
"""

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from freqreg import DoubleBackprop, FiniteDifference, JaFR, Objective
from freqreg.differentiation import Differentiation
from freqreg.errors import SecondDerivativeError
from tests.obstacles import around

HAS_GPU = torch.cuda.is_available()
DEVICE = "cuda:0" if HAS_GPU else "cpu"
TRIED = (FiniteDifference, DoubleBackprop) if HAS_GPU else (DoubleBackprop,)


def step(differentiation: Differentiation) -> str:
    torch.manual_seed(0)
    net = nn.SyncBatchNorm.convert_sync_batchnorm(around(nn.BatchNorm2d(4))).to(DEVICE)
    count = net.get_buffer("2.num_batches_tracked").zero_()
    model = DistributedDataParallel(net) if HAS_GPU else net  # DDP, too, takes it on GPUs only
    x, y = torch.rand(4, 3, 8, 8, device=DEVICE), torch.arange(4, device=DEVICE) % 3
    objective = Objective([JaFR()], differentiation=differentiation)
    try:
        objective(lambda z: F.cross_entropy(model(z), y), x, model=model).backward()
    except SecondDerivativeError as error:
        return f"raises: {error}"
    finite = all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    return f"{'finite' if finite else 'not finite'}, {count.item()} update of the statistics"


def main(path: Path) -> None:
    distributed.init_process_group("gloo")
    found = {d.__name__: step(d()) for d in TRIED}
    if distributed.get_rank() == 0:
        path.write_text(json.dumps(found))
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
