from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn, tensor

from freqreg._extras import extra


class Enlarged(nn.Module):
    """A network of timm that enlarges images within itself.

    Its input gradients have the images' own size, and so have all spectra and penalties. This is
    how a network for large images is fine-tuned on small ones.

    Args:
        network: what timm calls it.
        size: height and width to which images are enlarged, bilinearly.
        num_classes: of the last layer.
        kwargs: of `timm.create_model`, such as pretrained=True.
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
        """Logits of images with pixels in [0, 1]."""
        large = F.interpolate(x, size=self.size, mode="bilinear")
        return self.network((large - self.mean) / self.std)
