"""Lightning in two processes against a loop over the joined batches.

    torchrun --nproc_per_node 2 -m tests.integrations.lightning_processes RESULTS.json

Each result is the largest relative difference of a parameter's gradient in float64, or an error.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed
from torch.utils.data import DataLoader, DistributedSampler

from freqreg import FGSM, FiniteDifference, InputGradientNorm, JaFR, Objective
from freqreg.errors import DistributedError
from freqreg.integrations.lightning import RegularizerCallback
from tests.integrations.two_processes import LOCAL_BATCH, difference
from tests.integrations.vision_transformers import Pictures, small_vit

OBJECTIVES = {
    "JaFR": Objective([JaFR(0.1, sync=True)]),
    "FGSM + JaFR": Objective([JaFR(0.1, sync=True)], mixer=FGSM()),
    "norm": Objective([InputGradientNorm(100.0)]),
    "JaFR, differences": Objective(
        [JaFR(0.1, sync=True)], differentiation=FiniteDifference(step=1e-3)
    ),
}


class Classifier(L.LightningModule):
    """A small vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_vit()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss."""
        x, y = batch
        return F.cross_entropy(self.net(x).logits, y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """At rate 1, so that the change is minus the gradient."""
        return torch.optim.SGD(self.parameters(), lr=1.0)


def trained(objective: Objective, accumulation: int, **settings: Any) -> dict[str, Tensor]:
    """What one step of Lightning subtracts from each parameter."""
    module, data = Classifier().double(), Pictures(8, torch.float64)
    before = {name: value.detach().clone() for name, value in module.net.named_parameters()}
    pairs: Any = list(zip(data.images, data.labels, strict=True))
    in_turns = DistributedSampler(pairs, 2, int(os.environ["RANK"]), shuffle=False)
    L.Trainer(
        default_root_dir=tempfile.mkdtemp(),
        accelerator="cpu",
        devices=2,
        strategy=DDPStrategy(process_group_backend="gloo", **settings),
        accumulate_grad_batches=accumulation,
        max_steps=1,
        callbacks=[RegularizerCallback(objective)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, DataLoader(pairs, LOCAL_BATCH, sampler=in_turns))
    return {name: before[name] - value.detach() for name, value in module.net.named_parameters()}


def by_hand(objective: Objective, accumulation: int) -> dict[str, Tensor]:
    """Gradients of one process over the joined micro-batches."""
    net, data = small_vit().double(), Pictures(8, torch.float64)
    for rows in torch.arange(2 * LOCAL_BATCH * accumulation).split(2 * LOCAL_BATCH):
        x, y = data.images[rows], data.labels[rows]
        loss = objective(lambda z, y=y: F.cross_entropy(net(z).logits, y), x)
        (loss / accumulation).backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def main(path: Path) -> None:
    """Write the results of all combinations."""
    results: dict[str, float | str] = {}
    expected = {(o, k): by_hand(OBJECTIVES[o], k) for o in OBJECTIVES for k in (1, 2)}
    for (name, accumulation), gradients in expected.items():
        found = trained(OBJECTIVES[name], accumulation)
        results[f"{name} | {accumulation}"] = difference(found, gradients)
    try:
        found = trained(OBJECTIVES["JaFR"], 1, static_graph=True)
        results["static_graph"] = difference(found, expected["JaFR", 1])
    except DistributedError as error:
        results["static_graph"] = str(error)
    if distributed.get_rank() == 0:
        path.write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
