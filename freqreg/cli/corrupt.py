"""`freqreg corrupt`."""

from dataclasses import dataclass
from pathlib import Path

from freqreg._files import require_writable
from freqreg.cli.shared import CorruptionOptions
from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.corruptions.writing import write_npy_folder
from freqreg.evaluation.processes import from_main


@dataclass(frozen=True, kw_only=True)
class Corrupt(CorruptionOptions):
    """Write a test set under the 19 corruptions of CIFAR-10-C, in the layout of CIFAR-10-C.

    Each NAME.npy holds uint8 [5 x images, height, width, 3]: the whole test set at severity 1, then
    at 2, and so on. labels.npy holds the labels. After an interruption, the same command continues.

    freqreg corrupt --data uoft-cs/cifar10 --output-dir cifar10-c

    Args:
        output_dir: Folder of the .npy files.
        corruptions: Corruptions to write, by their file names.
        images: Number of images; None: all.
        seed: Seed of the random numbers.
    """

    output_dir: Path
    corruptions: tuple[str, ...] = CORRUPTIONS
    images: int | None = None
    seed: int = 0

    def __call__(self) -> None:
        """Write the files."""
        from_main(lambda: require_writable(self.output_dir))
        clean = self.to_corrupt(self.images)
        write_npy_folder(
            self.output_dir,
            clean.pixels,
            clean.labels,
            names=self.corruptions,
            seed=self.seed,
            index=clean.index,
            saved_as=self.saved_as,
        )
        names, count = self.corruptions, len(clean.labels)
        print(f"{len(names)} corruptions of {count} images: {self.output_dir}")
