"""Small classifiers, and images that they get right by more or less."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

SIDE = 12


class Victim(nn.Module):
    """One convolution, an activation and a linear layer; ten classes."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.act = activation
        self.head = nn.Linear(8 * SIDE**2, 10)
        nn.init.kaiming_normal_(self.conv.weight)
        nn.init.kaiming_normal_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.conv(x)).flatten(1))


def victim(dtype: torch.dtype = torch.float64, *, seed: int = 0, smooth: bool = False) -> Victim:
    """A random network in eval mode."""
    torch.manual_seed(seed)
    return Victim(nn.Softplus() if smooth else nn.ReLU()).to(dtype).eval()


class Overflowing(nn.Module):
    """Answers NaN on all images but those given, as an overflow in half precision does."""

    def __init__(self, inside: nn.Module, clean: Tensor) -> None:
        super().__init__()
        self.inside, self.clean = inside, clean

    def forward(self, x: Tensor) -> Tensor:
        distance = (x[:, None] - self.clean).flatten(2).norm(dim=2).amin(1)
        return torch.where(distance[:, None] > 0, torch.nan, self.inside(x))


def examples_of(
    model: nn.Module, count: int = 40, *, seed: int = 1
) -> tuple[Float[Tensor, "images 3 side side"], Int64[Tensor, " images"]]:
    """Random images with the model's own predictions as labels: the clean accuracy is 1."""
    dtype = next(model.parameters()).dtype
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, SIDE, SIDE, generator=generator, dtype=torch.float64).to(dtype)
    with torch.no_grad():
        return images, model(images).argmax(1)
