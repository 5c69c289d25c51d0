"""Image files of a corrupted test set as one tensor."""

from collections.abc import Sequence

import numpy as np
import torch
from einops import rearrange

from freqreg.evaluation.corruptions.corrupted_data import CorruptedDataError, Encoded, Pictures
from freqreg.evaluation.inputs.decoding import decode
from freqreg.evaluation.inputs.sources.base import ImagesError


def decoded(files: Sequence[Encoded]) -> Pictures:
    """The images in these files, of one size.

    Raises:
        CorruptedDataError: one is not whole, or they have different sizes.
    """
    try:
        images = [np.array(decode(name, content)) for name, content in files]
    except ImagesError as error:
        raise CorruptedDataError(str(error)) from error
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise CorruptedDataError(
            f"Images from {files[0][0]} on have different sizes: {sorted(shapes)}. They must be of "
            "one size; crop or resize them first."
        )
    return rearrange(torch.from_numpy(np.stack(images)), "b h w c -> b c h w")
