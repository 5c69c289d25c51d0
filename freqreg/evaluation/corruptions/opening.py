"""Corrupted test sets by name: a folder in either layout, or a repository of the hub."""

import re
from pathlib import Path

from freqreg.evaluation.corruptions.corrupted_data import CorruptedData, CorruptedDataError
from freqreg.evaluation.corruptions.hub import HubCorruptions
from freqreg.evaluation.corruptions.image_folders import ImageFolders
from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.corruptions.npy_folder import LABELS, NpyFolder

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def open_corrupted(source: str | Path) -> CorruptedData:
    """Corrupted images from wherever `source` points to.

    Args:
        source: a folder with labels.npy and NAME.npy (CIFAR-10-C, CIFAR-100-C, or written by
            `write_npy_folder`), a folder with NAME/SEVERITY/CLASS/ (Tiny ImageNet-C), or a
            repository of the hub, such as robro/cifar10-c-parquet.

    Raises:
        CorruptedDataError: it is none of these.
    """
    folder = Path(source)
    if (folder / f"{LABELS}.npy").exists():
        return NpyFolder(folder)
    if any((folder / name).is_dir() for name in CORRUPTIONS):
        return ImageFolders(folder)
    if folder.is_dir():
        found = sorted(entry.name for entry in folder.iterdir())[:5]
        raise CorruptedDataError(
            f"{folder} holds neither {LABELS}.npy nor a folder such as gaussian_noise/; it holds "
            f"{', '.join(found) or 'nothing'}. Give the folder that directly contains them."
        )
    if _REPOSITORY.fullmatch(str(source)):
        return HubCorruptions(str(source))
    raise CorruptedDataError(
        f"{source} is neither a folder nor a hub repository (owner/name). Give the folder of "
        "CIFAR-10-C or Tiny ImageNet-C, or e.g. robro/cifar10-c-parquet."
    )
