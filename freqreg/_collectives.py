"""Averages over the images of all processes."""

import torch
from jaxtyping import Float
from torch import Tensor, distributed


def in_several_processes() -> bool:
    """Return whether a process group of more than one process exists."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def averaged_over_processes(
    spectrum: Float[Tensor, "*shape"], images: int | Float[Tensor, ""]
) -> Float[Tensor, "*shape"]:
    """Average a mean over the images of all processes; keep this process's part of the gradient.

    Under the mean reduction of DDP and FSDP the gradient equals that of one process with all
    images. The backward pass runs no collective.

    Args:
        spectrum: mean over this process's images, or their shares by radius.
        images: number of these images, the weight of this process.
    """
    if not in_several_processes():
        return spectrum
    total = torch.cat([spectrum.detach().flatten() * images, spectrum.new_ones(1) * images])
    distributed.all_reduce(total)
    mean = (total[:-1] / total[-1]).view_as(spectrum)
    local = spectrum * (images * distributed.get_world_size() / total[-1])
    return local + (mean - local).detach()


def rms_over_processes(rms: Float[Tensor, ""], count: int) -> Float[Tensor, ""]:
    """Combine each process's root mean square of `count` values into that of all values."""
    if not in_several_processes():
        return rms
    total = torch.stack([rms.double().square() * count, torch.full_like(rms, count).double()])
    distributed.all_reduce(total)
    return (total[0] / total[1]).sqrt().to(rms.dtype)
