from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from freqreg.networks.initialization import initialize_published_

Activation = Callable[[], nn.Module]


class PreActBlock(nn.Module):
    """Two pre-activated 3×3 convolutions beside a shortcut that takes the raw input."""

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
        same_shape = stride == 1 and in_channels == out_channels
        self.shortcut = (
            nn.Identity()
            if same_shape
            else nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
        )

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """Residual branch plus shortcut; height and width are divided by the stride."""
        out = self.conv1(self.act1(self.bn1(x)))
        return self.conv2(self.act2(self.bn2(out))) + self.shortcut(x)


class PreActResNet18(nn.Module):
    """Pre-activation ResNet-18 in the variant published with the paper's experiments.

    Two things set it apart from most others: shortcuts take the raw input of a block, not its
    activation, and neither BatchNorm nor ReLU stands before the pooling. Inputs are pixels in
    [0, 1] of any size from 8×8 on; there is no normalisation inside.

    References: He et al., ECCV 2016, arXiv:1603.05027 (pre-activation); Andriushchenko &
    Flammarion, NeurIPS 2020, arXiv:2007.02617, and Chan, Ong & Tan, IJCAI 2022,
    arXiv:2205.04533 (this variant).

    Args:
        width: channels of the first stage; the others have 2, 4 and 8 times as many.
        activation: makes each activation; a smooth one (`nn.GELU`) suits finite differences.
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
        self.stages = nn.Sequential(
            _stage(width, width, stride=1, activation=activation),
            _stage(width, 2 * width, stride=2, activation=activation),
            _stage(2 * width, 4 * width, stride=2, activation=activation),
            _stage(4 * width, 8 * width, stride=2, activation=activation),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8 * width, num_classes)
        initialize_published_(self)

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of images with pixels in [0, 1]."""
        features = self.stages(self.stem(x))
        return self.head(self.pool(features).flatten(1))


def _stage(
    in_channels: int, out_channels: int, *, stride: int, activation: Activation
) -> nn.Sequential:
    return nn.Sequential(
        PreActBlock(in_channels, out_channels, stride=stride, activation=activation),
        PreActBlock(out_channels, out_channels, stride=1, activation=activation),
    )


def _conv3x3(in_channels: int, out_channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
