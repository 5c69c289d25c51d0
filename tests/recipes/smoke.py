"""Every data set with the paper's methods, and CIFAR-10 with all, on small data like the hub's.

python -m tests.recipes.smoke
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "recipes"), str(Path(__file__).parent)]

from recipe.data_sets import CIFAR10, CIFAR100, SVHN, TINY_IMAGENET  # noqa: E402
from recipe.settings.experiment import METHODS  # noqa: E402
from schema_true import write_parquet  # noqa: E402

DATASETS = {
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "svhn": SVHN,
    "tiny_imagenet": TINY_IMAGENET,
}
SMALLER = (
    "epochs=1",
    "batch_size=16",
    "width=4",
    "attack_steps=2",
    "attacked_images=20",
    "best_attack_steps=2",
)
IMAGES = 48
PAPER = ("standard", "jafr", "jafr-", "fgsm", "fgsm+jafr", "fgsm+jafr-", "fgsm+gradalign", "pgd")


def main() -> None:
    """Run all; exit with 1 where one fails, or where no hub is not said to be missing."""
    with tempfile.TemporaryDirectory() as folder:
        failed = [name for name in DATASETS if not reproduced(name, Path(folder))]
        unsaid = [name for name in DATASETS if not tells_of_missing_hub(name, Path(folder))]
    if failed or unsaid:
        sys.exit(f"Smoke: failed {failed}; without the hub no way out said {unsaid}")


def reproduced(name: str, folder: Path) -> bool:
    """Whether the methods run on a data set, and the report is there."""
    began, dataset = time.monotonic(), DATASETS[name]
    for split in ("train", "test"):
        write_parquet(folder / "data" / name, dataset, split, IMAGES)
    ended = call(
        folder,
        "reproduce.py",
        f"--dataset={name}",
        "--seeds=1",
        "--methods",
        *(METHODS if name == "cifar10" else PAPER),
        "--preset=smoke",
        "--jobs=2",
        f"--data-dir={folder / 'data' / name}",
        f"--output-dir={folder / 'runs'}",
        "--set",
        *SMALLER,
    )
    page = folder / "runs" / name / "report" / "report.html"
    good = ended.returncode == 0 and page.is_file()
    print(f"smoke {name}: {'good' if good else 'FAILED'}, {time.monotonic() - began:.0f} s")
    if not good:
        print(ended.stdout[-2000:], ended.stderr[-2000:])
    for log in [] if good else (folder / "runs" / name).glob("*/output.log"):
        print(log.parent.name, log.read_text()[-1000:])
    return good


def tells_of_missing_hub(name: str, folder: Path) -> bool:
    """Whether a recipe without data and without the hub ends with the ways out."""
    ended = call(folder, f"{name}.py", f"--output-dir={folder / 'none'}", HF_HUB_OFFLINE="1")
    message = ended.stderr.strip().splitlines()[-1:]
    print(f"no hub, {name}: {' '.join(message)}")
    return ended.returncode == 1 and "--data-dir FOLDER" in "".join(message)


def call(folder: Path, recipe: str, *options: str, **variables: str) -> subprocess.CompletedProcess:
    """A recipe as its user starts it, with a cache of its own."""
    environment = os.environ | {"FREQREG_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HOME": str(folder / "hub")} | variables
    command = [sys.executable, str(ROOT / "recipes" / recipe), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
