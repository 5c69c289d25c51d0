"""A net, data and a trainer, small enough to train in a blink."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from freqreg.integrations.accelerate import Trainer

IMAGES, BATCH = 26, 4  # the last batch is a short one


def fresh_state() -> None:
    """Forget accelerate's settings, which are global."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """No settings left by others, and one thread: more make such small nets slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    fresh_state()


def dropout_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.Dropout(0.3),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def linear_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))


def data(images: int = IMAGES) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return TensorDataset(pixels, torch.randint(3, (images,), generator=generator))


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    return (x + 0.1 * torch.rand(x.shape, generator=generator)).clamp(0, 1)


def trainer(
    *,
    net: Any = dropout_net,
    shuffle: bool = True,
    images: int = IMAGES,
    batch: int = BATCH,
    epochs: int = 3,
    seed: int = 0,
    accumulated: int = 1,
    mixed_precision: str = "no",
    scaler: bool = False,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> Trainer:
    """A new trainer, as a new process would make it."""
    set_seed(seed)
    accelerator = accelerator or Accelerator(
        cpu=True, gradient_accumulation_steps=accumulated, mixed_precision=mixed_precision
    )
    if scaler:  # accelerate makes one on GPUs only
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=3)
    model = net()
    return Trainer(
        model,
        torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9),
        DataLoader(data(images), batch_size=batch, shuffle=shuffle),
        epochs,
        accelerator=accelerator,
        seed=seed,
        **options,
    )


def trained(**options: Any) -> Trainer:
    """A trainer after its run."""
    ours = trainer(**options)
    ours.train()
    return ours


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def assert_identical(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
