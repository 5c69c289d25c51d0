import torch
from torch import nn

from freqreg.errors import SettingError
from recipe.settings import Settings


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam; the rate is the schedule's maximum.

    Raises:
        SettingError: there is no such optimizer.
    """
    name, rate = settings.optimizer.value, settings.max_learning_rate.value
    decay = settings.weight_decay.value
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    if name != "sgd":
        raise SettingError(f"There is no optimizer {name!r}; known are sgd and adam.")
    return torch.optim.SGD(
        model.parameters(),
        lr=rate,
        momentum=settings.momentum.value,
        weight_decay=decay,
    )
