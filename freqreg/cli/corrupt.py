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
    """Write a test set under the 19 corruptions of CIFAR-10-C, in its layout.

    NAME.npy holds uint8 [5 x images, height, width, 3], the test set at severity 1 first; labels
    are in labels.npy. A command that was stopped goes on where it was.

    freqreg corrupt --data uoft-cs/cifar10 --output-dir cifar10-c

    Args:
        output_dir: Where the .npy files go.
        corruptions: Which of the 19, by their file names.
        images: Corrupt so many images; None: all.
        seed: Of the random numbers.
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
        print(
            f"{len(self.corruptions)} corruptions of {len(clean.labels)} images: {self.output_dir}"
        )
