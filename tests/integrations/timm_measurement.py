"""What JaFR does to log B_low in a training script of timm; writes its table in docs/timm.md.

    python -m tests.integrations.timm_measurement --cifar10 FOLDER --work-dir FOLDER

Trains two epochs on a folder of CIFAR-10 images, with and without JaFR, in bfloat16 with Mixup
and accumulated gradients, for three seeds. FOLDER: a local copy of the data set uoft-cs/cifar10
(`data_dir="plain_text"`). Runs that are there are not repeated.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.models import create_model
from torch import Tensor

from freqreg.evaluation.inputs.models import Normalized
from freqreg.evaluation.metrics.frequency_profile import gradient_profile

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "timm.md"
RESULTS = PAGE.with_suffix(".json")
START, END = "<!-- table: start -->\n", "<!-- table: end -->"

MODEL = "resnet10t"
SEEDS = (0, 1, 2)
IMAGES = {"train": 400, "validation": 100}  # of each class
SCRIPT = Path(__file__).with_name("timm_training.py")
OPTIONS = (
    f"--model {MODEL} --num-classes 10 --img-size 32 --batch-size 64 --epochs 2 --lr 0.1 "
    "--amp --amp-dtype bfloat16 --mixup 0.2 --grad-accum-steps 2 --model-ema"
)
METHODS = {
    "without": [],
    "JaFR(0.05)": ["-m", "freqreg.integrations.timm", "--freqreg-jafr", "0.05"],
}


def write_folder(cifar10: str, folder: Path) -> None:
    """The first images of each class as PNG files, as timm's ImageFolder reads them."""
    from datasets import load_dataset

    for split, (part, count) in zip(("train", "test"), IMAGES.items(), strict=True):
        met = Counter[int]()
        for row in load_dataset(cifar10, data_dir="plain_text", split=split):
            image, label = row["img"], row["label"]  # pyright: ignore[reportCallIssue, reportArgumentType]
            if met[label] < count:
                path = folder / part / f"{label}" / f"{met[label]:04}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path)
            met[label] += 1


def trained(method: str, seed: int, folder: Path, output: Path) -> Path:
    """The checkpoint of a run of the script, in a process of its own."""
    checkpoint = output / "last.pth.tar"
    if not checkpoint.exists():
        arguments = [str(folder), *OPTIONS.split(), "--seed", str(seed), "--output", str(output)]
        command = [sys.executable, *METHODS[method], str(SCRIPT), *arguments]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return checkpoint


def measured(checkpoint: Path, folder: Path) -> dict[str, float]:
    """Accuracy and log B_low on the validation images, in float32 and eval mode."""
    model: Any = create_model(MODEL, num_classes=10)
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    model.load_state_dict(state["state_dict"])
    config = model.pretrained_cfg
    classifier = Normalized(model, config["mean"], config["std"]).eval()
    batches = list(labelled_batches(folder / "validation"))
    with torch.no_grad():
        right = [(classifier(x.float() / 255).argmax(1) == y).sum().item() for x, y in batches]
    return {
        "accuracy": 100 * sum(right) / sum(len(y) for _, y in batches),
        "log_b_low": gradient_profile(classifier, batches).log_b_low(),
    }


def labelled_batches(folder: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """All images of each class, as uint8."""
    for path in sorted(folder.iterdir()):
        images = np.stack([np.asarray(Image.open(file)) for file in sorted(path.iterdir())])
        labels = torch.full((len(images),), int(path.name))
        yield torch.from_numpy(images).permute(0, 3, 1, 2), labels


def table(runs: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A row for each seed: log B_low and accuracy without and with the regularizer."""
    without, regularized = METHODS
    rows = [
        f"| seed | log B_low {without} | with {regularized} | difference "
        f"| accuracy {without}, % | with {regularized}, % |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for seed in map(str, SEEDS):
        before, after = runs[without][seed], runs[regularized][seed]
        low, high = before["log_b_low"], after["log_b_low"]
        rows.append(
            f"| {seed} | {low:.2f} | {high:.2f} | {high - low:+.2f} "
            f"| {before['accuracy']:.1f} | {after['accuracy']:.1f} |"
        )
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--work-dir", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = args.work_dir / "images"
    if not folder.exists():
        write_folder(args.cifar10, folder)
    runs = {
        method: {
            str(seed): measured(
                trained(method, seed, folder, args.work_dir / f"{method}-{seed}"), folder
            )
            for seed in SEEDS
        }
        for method in METHODS
    }
    settings = {
        "data": "CIFAR-10, re-encoded as JPEG",
        "images of each class": IMAGES,
        "script": OPTIONS,
        "python": platform.python_version(),
        **{name: version(name) for name in ("freqreg", "torch", "timm")},
    }
    RESULTS.write_text(json.dumps({"settings": settings, "runs": runs}, indent=2) + "\n")
    before, _, rest = PAGE.read_text().partition(START)
    PAGE.write_text(before + START + table(runs) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
