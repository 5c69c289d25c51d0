"""Runs of the transformers Trainer of which every step can be written out by hand."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

from freqreg.integrations.transformers import RegularizedTrainerMixin


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    """One step of SGD at rate 1, on the CPU, so that the change is minus the gradient."""
    plain = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 4,
        "max_steps": 1,
        "learning_rate": 1.0,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 0.0,
        "report_to": "none",
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
    }
    return TrainingArguments(**{**plain, **settings})


class PlainInOrder(Trainer):
    """Without shuffling, so that a loop can be written beside it."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return torch.utils.data.SequentialSampler(train_dataset or self.train_dataset)  # pyright: ignore[reportArgumentType]


class InOrder(RegularizedTrainerMixin, PlainInOrder):
    """The same with an objective."""


def change(run: Trainer) -> dict[str, Tensor]:
    """What training subtracts from each parameter."""
    model = cast(nn.Module, run.model)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    run.train()
    return {name: before[name] - value.detach() for name, value in model.named_parameters()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], rtol: float = 1e-8) -> None:
    """Parameters that no gradient reaches are left out of `expected`."""
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=rtol, atol=1e-4 * rtol)
