from collections.abc import Callable
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from freqreg.networks.initialization import initialize_published_

Activation = Callable[[], nn.Module]


class PreActBlock(nn.Module):
    """Two pre-activated 3×3 convolutions, and a shortcut from the raw input."""

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int, activation: Activation
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.act1 = activation()
        self.conv1 = _conv3x3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.act2 = activation()
        self.conv2 = _conv3x3(out_channels, out_channels, stride=1)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Add the residual branch to the shortcut; the stride divides height and width."""
        out = self.conv1(self.act1(self.bn1(x)))
        return self.conv2(self.act2(self.bn2(out))) + self.shortcut(x)


class PreActResNet18(nn.Module):
    """Pre-activation ResNet-18, in the variant published with the paper's experiments.

    It differs from most variants in two ways: shortcuts start from the raw input of a block, not
    from its activation, and neither BatchNorm nor ReLU precedes the pooling. Inputs are pixels in
    [0, 1], 8×8 or larger; the network does not normalise them.

    References: He et al., ECCV 2016, arXiv:1603.05027 (pre-activation); Andriushchenko &
    Flammarion, NeurIPS 2020, arXiv:2007.02617, and Chan, Ong & Tan, IJCAI 2022,
    arXiv:2205.04533 (this variant).

    Args:
        width: channels of the first stage; the next stages have 2, 4 and 8 times as many.
        activation: makes each activation; finite differences need a smooth one (`nn.GELU`).
    """

    def __init__(
        self,
        num_classes: int = 10,
        *,
        width: int = 64,
        activation: Activation = nn.ReLU,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.stem = _conv3x3(in_channels, width, stride=1)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(
            *(_stage(before, after, activation) for before, after in pairwise(widths))
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8 * width, num_classes)
        initialize_published_(self)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the logits of images with pixels in [0, 1]."""
        features = self.stages(self.stem(x))
        return self.head(self.pool(features).flatten(1))


def _stage(in_channels: int, out_channels: int, activation: Activation) -> nn.Sequential:
    stride = 1 if in_channels == out_channels else 2
    return nn.Sequential(
        PreActBlock(in_channels, out_channels, stride=stride, activation=activation),
        PreActBlock(out_channels, out_channels, stride=1, activation=activation),
    )


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
