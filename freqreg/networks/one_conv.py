from jaxtyping import Float
from torch import Tensor, nn

from freqreg.networks.initialization import initialize_published_


class OneConvNet(nn.Module):
    """A 3×3 convolution, ReLU and a linear layer: the smallest network that overfits FGSM.

    Catastrophic overfitting of single-step adversarial training needs no depth, as Andriushchenko
    & Flammarion, NeurIPS 2020, arXiv:2007.02617, section 4, show on this network.

    Args:
        image_size: height and width of the square images; the linear layer fixes it.
    """

    def __init__(
        self, num_classes: int = 10, *, image_size: int = 32, filters: int = 8, in_channels: int = 3
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, filters, 3, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Linear(filters * image_size**2, num_classes)
        initialize_published_(self)

    def forward(
        self, x: Float[Tensor, "batch in_channels size size"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the logits of images with pixels in [0, 1]."""
        return self.head(self.act(self.conv(x)).flatten(1))
