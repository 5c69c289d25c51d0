"""A training script of timm for any number of processes, with and without a teacher.

    torchrun --nproc-per-node 2 tests/integrations/timm_distributed.py WEIGHTS.pt

Nothing in this file knows of freqreg.
"""

import sys
from argparse import Namespace
from typing import Any

import torch
from timm.models import create_model
from timm.task import ClassificationTask, LogitDistillationTask, TrainingTask
from timm.utils.distributed import init_distributed_device
from torch import Tensor, nn

CLASSES, BATCH, STEPS = 5, 8, 2


def network(name: str, seed: int) -> Any:
    torch.manual_seed(seed)
    return create_model(name, num_classes=CLASSES).double().train()


def tasks() -> dict[str, TrainingTask]:
    settings: dict[str, Any] = {"criterion": nn.CrossEntropyLoss(), "dtype": torch.float64}
    student, teacher = network("test_convnext", 0), network("test_convnext2", 1)
    return {
        "classification": ClassificationTask(network("test_convnext", 0), **settings),
        "distillation": LogitDistillationTask(student, teacher, **settings),
    }


def batch(rank: int, processes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(BATCH, 3, 32, 32, generator=generator, dtype=torch.float64)
    y = torch.arange(BATCH) % CLASSES
    return x[rank::processes], y[rank::processes]


def train(task: Any, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    model = task.get_trainable_module()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        task(x, y)["loss"].backward()
        optimizer.step()
    return task.get_checkpoint_state()["state_dict"]


def main(weights: str) -> None:
    args = Namespace(device="cpu")
    init_distributed_device(args)
    trained = {}
    for name, task in tasks().items():
        if args.distributed:
            task.prepare_distributed()
        trained[name] = train(task, *batch(args.rank, args.world_size))
    if args.rank == 0:
        torch.save(trained, weights)
    if args.distributed:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
