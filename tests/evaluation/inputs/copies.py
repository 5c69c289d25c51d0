"""The same fifty images of ten classes, in every layout in which people have data sets."""

import io
import json
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from PIL import Image as Picture
from safetensors.torch import save_file

NAMES = tuple("0123456789")
LABELS: list[int] = [number // 5 for number in range(50)]
PIXELS = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
"""Images that lie class by class, so that folders have them in the same order."""


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> bytes:
    content = io.BytesIO()
    Picture.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def table(pixels: np.ndarray = PIXELS, labels: Sequence[int] = LABELS) -> Dataset:
    cells = [{"bytes": encoded(image), "path": None} for image in pixels]
    features = Features({"image": Image(), "label": ClassLabel(names=list(NAMES))})
    return Dataset.from_dict({"image": cells, "label": list(labels)}, features)


def write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def class_folders(root: Path, nested: str = "", ending: str = "png") -> None:
    for number, (image, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        write(root / NAMES[label] / nested / f"{number:02}.{ending}", encoded(image))


def saved(root: Path) -> None:
    parts = DatasetDict()
    parts["train"], parts["test"] = table(PIXELS[::-1]), table()
    parts.set_format("torch")
    parts.save_to_disk(root)


def saved_part(root: Path) -> None:
    table().with_format("numpy").save_to_disk(root)


def parquet(root: Path) -> None:
    for config, pixels in (("cropped_digits", PIXELS), ("full_numbers", PIXELS[::-1])):
        for split, images in (("train", pixels[::-1]), ("test", pixels)):
            file = root / config / f"{split}-00000-of-00001.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            table(images).to_parquet(file)


def plain_parquet(root: Path) -> None:
    """Two files without names of columns' kinds, of several row groups, one of them empty."""
    from pyarrow import parquet

    rows = table().data.table.replace_schema_metadata(None)
    for number, part in enumerate((rows[:20], rows[20:20], rows[20:])):
        parquet.write_table(part, root / f"test-{number:05}-of-00003.parquet", row_group_size=7)


def split_folders(root: Path) -> None:
    class_folders(root / "test")
    write(root / "train" / "3" / "train_1.png", encoded(PIXELS[0]))


def cifar(root: Path, folder: str, meta: str, file: str, column: str) -> None:
    rows = PIXELS.transpose(0, 3, 1, 2).reshape(50, -1)
    batch = {"data": rows, f"{column}s": LABELS, "coarse_labels": 50 * [0]}
    for name, content in ((meta, {f"{column}_names": list(NAMES)}), (file, batch)):
        write(root / folder / name, pickle.dumps(content, protocol=2))


def cifar10(root: Path) -> None:
    cifar(root, "cifar-10-batches-py", "batches.meta", "test_batch", "label")


def cifar100(root: Path) -> None:
    cifar(root, "cifar-100-python", "meta", "test", "fine_label")


def matlab(root: Path) -> None:
    from scipy.io import savemat

    digits = [[label or 10] for label in LABELS]
    savemat(root / "test_32x32.mat", {"X": PIXELS.transpose(1, 2, 3, 0), "y": digits})


def tiny_imagenet(root: Path) -> None:
    """As the archive has it, with a test part that has no labels."""
    class_folders(root / "train", "images", "JPEG")
    lines = [f"val_{n}.JPEG\t{NAMES[label]}\t0\t0\t62\t62\n" for n, label in enumerate(LABELS)]
    write(root / "val" / "val_annotations.txt", "".join(lines).encode())
    for part in ("val", "test"):
        for number, image in enumerate(PIXELS):
            write(root / part / "images" / f"{part}_{number}.JPEG", encoded(image))


def sorted_tiny_imagenet(root: Path) -> None:
    """With val sorted into class folders, and what is left over of the archive."""
    tiny_imagenet(root)
    for number, label in enumerate(LABELS):
        file = root / "val" / "images" / f"val_{number}.JPEG"
        write(root / "val" / NAMES[label] / f"val_{number:02}.JPEG", file.read_bytes())
        file.unlink()


def safetensors(root: Path, dtype: torch.dtype = torch.uint8) -> None:
    pixels = torch.from_numpy(PIXELS).movedim(-1, 1).contiguous()
    tensors = {"pixels": pixels, "labels": torch.tensor(LABELS, dtype=dtype)}
    save_file(tensors, root / "test.safetensors", {"class_names": json.dumps(NAMES)})


def npy(root: Path) -> None:
    """CIFAR-10-C's; severity 1."""
    np.save(root / "labels.npy", np.tile(np.array(LABELS, np.uint8), 5))
    np.save(root / "fog.npy", np.concatenate([PIXELS, *4 * [PIXELS[::-1]]]))


def corrupted_folders(root: Path) -> None:
    """Tiny ImageNet-C's."""
    class_folders(root / "fog" / "1", ending="JPEG")


COPIES: dict[str, tuple[Callable[[Path], None], str, dict]] = {
    "saved by datasets": (saved, "", {}),
    "one part saved by datasets": (saved_part, "", {}),
    "parquet": (parquet, "", {"config": "cropped_digits"}),
    "plain parquet": (plain_parquet, "", {}),
    "class folders": (class_folders, "", {}),
    "split folders": (split_folders, "", {}),
    "CIFAR-10": (cifar10, "", {}),
    "CIFAR-100": (cifar100, "", {}),
    "SVHN": (matlab, "", {}),
    "TinyImageNet": (tiny_imagenet, "", {"split": "val"}),
    "TinyImageNet, sorted": (sorted_tiny_imagenet, "", {"split": "valid"}),
    "safetensors": (safetensors, "test.safetensors", {}),
}
"""What writes each, the place in its folder that is given to `load_images`, and options."""
