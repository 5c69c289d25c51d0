"""`freqreg corrupt`."""

from dataclasses import dataclass
from pathlib import Path

from freqreg._files import require_writable
from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.corruptions.writing import write_npy_folder
from freqreg.evaluation.inputs.images import load_image_set


@dataclass(frozen=True)
class Corrupt:
    """Write a test set under the 19 corruptions of CIFAR-10-C, in its layout.

    NAME.npy holds uint8 [5 x images, height, width, 3], the test set at severity 1 first; labels
    are in labels.npy. A command that was stopped goes on where it was.

    freqreg corrupt --data uoft-cs/cifar10 --output-dir cifar10-c

    Args:
        data: The clean test set: a data set of the hub (owner/name), a local folder, or a
            .safetensors file with uint8 pixels and labels.
        output_dir: Where the .npy files go.
        corruptions: Which of the 19, by their file names.
        split: The part of the data set to corrupt.
        images: Corrupt so many images; None: all.
        image_size: Resize and crop to so many pixels; None: as they are.
        seed: Of the random numbers.
    """

    data: str
    output_dir: Path
    corruptions: tuple[str, ...] = CORRUPTIONS
    split: str = "test"
    images: int | None = None
    image_size: int | None = None
    seed: int = 0

    def __call__(self) -> None:
        """Write the files."""
        require_writable(self.output_dir)
        clean = load_image_set(
            self.data, split=self.split, count=self.images, image_size=self.image_size
        )
        write_npy_folder(
            self.output_dir, clean.images, clean.labels, names=self.corruptions, seed=self.seed
        )
        print(
            f"{len(self.corruptions)} corruptions of {len(clean.labels)} images: {self.output_dir}"
        )
