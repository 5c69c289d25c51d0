"""The transformers Trainer in two processes against a loop over the joined batches.

    torchrun --nproc_per_node 2 -m tests.integrations.transformers_processes RESULTS.json

Each result is the largest difference of a parameter's gradient in float64, relative to the
largest gradient.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn

from freqreg import FGSM, InputGradientNorm, JaFR, Objective
from tests.integrations.trainer_runs import InOrder, PlainInOrder, arguments, change
from tests.integrations.two_processes import LOCAL_BATCH, difference
from tests.integrations.vision_transformers import Pictures, small_swin, small_vit

ACCUMULATION = 2
OBJECTIVE = Objective([JaFR(0.1, sync=True), InputGradientNorm(100.0)], mixer=FGSM())

Model = Callable[[], nn.Module]


def by_hand(objective: Objective, model: Model, factor: float) -> dict[str, Tensor]:
    """Gradients of one process over the joined micro-batches, each with a factor."""
    net, data = model().double(), Pictures(8, torch.float64)
    for rows in torch.arange(2 * LOCAL_BATCH * ACCUMULATION).split(2 * LOCAL_BATCH):
        x, y = data.images[rows], data.labels[rows]
        loss = objective(lambda z, y=y: F.cross_entropy(net(z).logits, y), x)
        (loss * factor).backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def trained(trainer: Any, model: Model, settings: Any, **extra: Any) -> dict[str, Tensor]:
    """What one step of the Trainer subtracts from each parameter."""
    given = arguments(
        Path(tempfile.mkdtemp()),
        per_device_train_batch_size=LOCAL_BATCH,
        gradient_accumulation_steps=ACCUMULATION,
        ddp_backend="gloo",
        **settings,
    )
    data = Pictures(8, torch.float64)
    return change(trainer(model().double(), given, train_dataset=data, **extra))


def main(path: Path) -> None:
    """Write the results of all combinations."""
    each = {"average_tokens_across_devices": False}
    cases: dict[str, tuple[Model, dict[str, Any], float]] = {
        "divides": (small_vit, {}, 1 / ACCUMULATION),
        "divides, by each process's count": (small_vit, each, 1 / ACCUMULATION),
        "ignores": (small_swin, {}, 2),  # the processes, as if it divided by the labels of all
        "ignores, by each process's count": (small_swin, each, 1),
    }
    results: dict[str, float] = {}
    for case, (model, settings, factor) in cases.items():
        plain = trained(PlainInOrder, model, settings)
        results[f"{case} | plain"] = difference(plain, by_hand(Objective(), model, factor))
        found = trained(InOrder, model, settings, objective=OBJECTIVE)
        results[f"{case} | regularized"] = difference(found, by_hand(OBJECTIVE, model, factor))
    if distributed.get_rank() == 0:
        path.write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
