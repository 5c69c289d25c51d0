"""What one process of several does, and one alone: all scores, profiles, files, and failures."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyautoattack
import torch
from torch import Tensor, distributed, nn

from freqreg.cli import main
from freqreg.evaluation import LabelledImages, evaluate, shared_evaluation
from freqreg.evaluation.benchmark.scores import SCORES
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.corruptions.opening import open_corrupted
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.processes import ProcessError, Share, is_main

IMAGES = 101
SETTINGS = EvaluationSettings(
    eps=4 / 255,
    batch_size=32,
    fgsm_images=None,
    attack_steps=2,
    attack_restarts=2,
    attacked_images=None,
    curve_steps=2,
    curve_images=None,
    profiled_images=None,
    corrupted_images=30,
    recalibration_images=None,
)
STORED = "corruption/fog"
MEASURED = [
    name
    for name in SCORES
    if not name.startswith("recalibrated/") or name.endswith(("fog", "jpeg_compression"))
]
"""All but recalibrated models under the other corruptions, under which models are measured."""


class Net(nn.Module):
    """Small, with batch norm."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 16 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).relu().flatten(1))


class Overflowing(nn.Module):
    """Answers NaN where an image is all white."""

    def forward(self, x: Tensor) -> Tensor:
        logits = x.flatten(1)[:, :4]
        return torch.where((x == 1).flatten(1).all(1, keepdim=True), torch.nan, logits)


def work(folder: Path, own: Path) -> dict[str, Any]:
    """All scores; what evaluations of other kinds leave is in the folder `own`."""
    net, source = Net(0).eval(), Net(1).eval()
    test = load_images(folder / "test.safetensors")
    with shorter_autoattack(), shared_evaluation():
        record = evaluate(
            net,
            test,
            MEASURED,
            settings=SETTINGS,
            file=own / "scores.json",
            transfer_source=source,
            train_images=test,
        )
        few = evaluate(net, test.select([0, 50]), ["clean", "noise", "pgd"], settings=SETTINGS)
    data = ["--data", str(folder / "test.safetensors")]
    main(["corrupt", *data, "--corruptions", "fog", "--output-dir", str(own / "made"),
          "--images", str(IMAGES)])  # fmt: skip
    with shared_evaluation():
        corrupted = open_corrupted(own / "made")
        stored = evaluate(net, test, [STORED], settings=SETTINGS, corrupted=corrupted)
    points = ["--points", "clean", "random", "adversarial", "--labels", "model"]
    main(["evaluate", str(folder / "model"), *data, "--scores", "clean", "--device", "cpu",
          "--output-dir", str(own / "evaluations")])  # fmt: skip
    main(["profile", str(folder / "model"), *data, *points, "--heat-map",
          "--output-dir", str(own / "profile"), "--device", "cpu"])  # fmt: skip
    main(["report", str(own / "evaluations"), *data, "--output-dir", str(own / "report")])
    return {
        "scores": {name: entry.values for name, entry in record.scores.items()},
        "about": dict(record.about),
        "few": {name: entry.values for name, entry in few.scores.items()},
        "stored": [stored.scores[STORED].values, stored.scores[STORED].settings["corrupted_data"]],
    }


@contextmanager
def shorter_autoattack() -> Iterator[None]:
    """A hundredth of its queries."""
    with ExitStack() as stack:
        for name in ("APGDAttack", "APGDAttack_targeted", "FABAttack_PT", "SquareAttack"):
            part = getattr(pyautoattack.autoattack, name)

            def short(self: Any, *args: Any, _whole: Any = part.perturb, **kwargs: Any) -> Tensor:
                self.n_iter, self.n_queries = 2, 5
                return _whole(self, *args, **kwargs)

            stack.enter_context(patch.object(part, "perturb", short))
        yield


def alone(folder: Path) -> None:
    """One process evaluates while the others do not, and nobody waits."""
    if distributed.get_rank() == 0:
        test = load_images(folder / "test.safetensors")
        evaluate(Net(0).eval(), test, ["clean", "pgd"], settings=SETTINGS)


def failing(label: int) -> list[str]:
    """How each process ends where the model has no answer to an image of the last one's share.

    Of a label that the model has not, all fail.
    """
    pixels = torch.zeros(10, 3, 16, 16, dtype=torch.uint8)
    pixels[distributed.get_world_size() - 1] = 255
    test = LabelledImages(pixels, torch.full((10,), label))
    try:
        with shared_evaluation():
            evaluate(Overflowing().eval(), test, ["corruption/jpeg_compression", "noise"])
    except ProcessError as error:
        return [type(error).__name__, str(error)]
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["none", ""]


def killed(folder: Path, own: Path) -> None:
    """The last process dies once two scores are finished."""
    test, finished = load_images(folder / "test.safetensors"), []

    def report(name: str, _: object) -> None:
        finished.append(name)
        if len(finished) == 2 and not is_main():
            os._exit(9)

    with shared_evaluation():
        evaluate(
            Net(0).eval(),
            test,
            ["noise", "fgsm", "pgd"],
            settings=SETTINGS,
            file=own / "killed.json",
            report=report,
        )


def one_of(size: int, rank: int, folder: Path) -> None:
    """Leaves what it has in `folder`, in a folder that is named by the number of processes."""
    torch.set_num_threads(1)
    own, meeting = folder / str(size), f"file://{folder}/meeting-{size}"
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=size)
    found = work(folder, own)
    with shared_evaluation():
        own_rows = Share.of(IMAGES).rows.tolist()
    alone(folder)
    ends = [failing(label) for label in (0, 7)]
    content = found | {"rows": own_rows, "ends": ends}
    (own / f"rank-{rank}.json").write_text(json.dumps(content))
    distributed.barrier()
    killed(folder, own)
