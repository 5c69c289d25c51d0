from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn, tensor

from freqreg._extras import extra


class Enlarged(nn.Module):
    """A network of timm that first enlarges its images, to fine-tune it on small ones.

    Input gradients, spectra and penalties keep the size of the given images.

    Args:
        network: its name in timm.
        size: height and width of the enlarged images (bilinear interpolation).
        num_classes: classes of the last layer.
        kwargs: further arguments of `timm.create_model`, such as pretrained=True.
    """

    def __init__(self, network: str, size: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__()
        with extra("timm", f"{network} needs timm"):
            import timm
        self.network: Any = timm.create_model(network, num_classes=num_classes, **kwargs)
        known = self.network.pretrained_cfg
        mean, std = (tensor(known[name]).view(-1, 1, 1) for name in ("mean", "std"))
        self.mean, self.std = nn.Buffer(mean, persistent=False), nn.Buffer(std, persistent=False)
        self.size = (size, size)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Return the logits of images with pixels in [0, 1]."""
        large = F.interpolate(x, size=self.size, mode="bilinear")
        return self.network((large - self.mean) / self.std)
