import torch
from torch import nn

from recipe.settings.experiment import Settings


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD with momentum, or Adam; the rate is the schedule's maximum."""
    rate, decay = settings.max_learning_rate.value, settings.weight_decay.value
    if settings.optimizer.value == "adam":
        return torch.optim.Adam(model.parameters(), rate, weight_decay=decay)
    return torch.optim.SGD(model.parameters(), rate, settings.momentum.value, weight_decay=decay)
