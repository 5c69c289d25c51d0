"""What each part of the library makes the host wait for on a GPU, in its first step and after.

python -m tests.fake_cuda tests.fake_cuda.audit [GROUP ...]
"""

import json
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, get_args

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch import Tensor, nn

from freqreg import (
    APR,
    CURE,
    ELLE,
    FGSM,
    LLR,
    NFGSM,
    PGD,
    AbsoluteFloor,
    FiniteDifference,
    FourierSensitivity,
    GradAlign,
    InputGradientNorm,
    JaFR,
    Mix,
    MultiGrad,
    Objective,
    PixelSpace,
    ZeroGrad,
)
from freqreg.evaluation.attacks.pgd import AttackLoss, PGDAttack
from freqreg.evaluation.attacks.restarts import Select
from freqreg.evaluation.corruptions import CORRUPTIONS, corrupt
from freqreg.evaluation.metrics.accuracy import logits_of
from freqreg.evaluation.metrics.calibration import expected_calibration_error, mean_cross_entropy
from freqreg.evaluation.metrics.filtered_noise import band_noise, sign_noise
from freqreg.evaluation.metrics.frequency_profile import (
    gradient_profile,
    image_profile,
    mixed_points,
    random_points,
)
from tests.fake_cuda import device
from tests.fake_cuda.device import GPU, ROOT

sys.path[:0] = [str(ROOT / "recipes"), str(ROOT / "tests" / "recipes")]  # as when they run
import tiny_experiment  # noqa: E402
from recipe.data.augment import RandomCropAndFlip  # noqa: E402
from recipe.settings.experiment import Method  # noqa: E402
from recipe.training.run import make_trainer  # noqa: E402

Run = Callable[[int], object]
"""So many steps, batches or frequencies of one kind."""


class Case(NamedTuple):
    """Something to look at.

    `begins` tells that each run has a beginning and an end of its own: then a steady step is
    what a longer run adds.
    """

    name: str
    run: Run
    begins: bool = False


REGULARIZERS = {
    "jafr": [JaFR()],
    "jafr of all options": [JaFR(floor=AbsoluteFloor(), quadrants=2, target=20.0)],
    "grad_align of both": [GradAlign(detach_clean=False)],
    "norm": [InputGradientNorm()],
    "fourier, low": [FourierSensitivity()],
    "fourier, all, and grad_align": [FourierSensitivity(favour="all"), GradAlign()],
}
MIXERS = {
    "none": None,
    "fgsm": FGSM(),
    "rs-fgsm": FGSM(start="random"),
    "n-fgsm": NFGSM(),
    "pgd": PGD(steps=2),
    "mix": Mix(FGSM(), fraction=0.5),
}
FAMILY = {
    "elle": [ELLE(10.0)],
    "llr": [LLR(1.0)],
    "cure and norm 1": [CURE(0.1), InputGradientNorm(order=1)],
}
FAMILY_MIXERS = {
    "zerograd": ZeroGrad(),
    "multigrad": MultiGrad(),
    "apr": Mix(APR(), fraction=0.5),
}
DIFFERENTIATIONS: dict[str, dict[str, Any]] = {
    "double backprop": {},
    "central": {"differentiation": FiniteDifference(allow_low_precision=True)},
    "one-sided": {
        "differentiation": FiniteDifference(scheme="one-sided", allow_low_precision=True)
    },
}
PRECISIONS = {"fp32": None, "fp16": torch.float16, "bf16": torch.bfloat16}


SPACE = PixelSpace((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


def network() -> nn.Module:
    """With batch norm, dropout and a smooth activation, on the GPU."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).to(GPU)


def images(count: int, size: int = 8) -> tuple[Tensor, Tensor]:
    """Bytes and labels, on the GPU."""
    pixels = torch.randint(256, (count, 3, size, size), dtype=torch.uint8)
    return pixels.to(GPU), (torch.arange(count) % 5).to(GPU)


def objectives() -> Iterator[Case]:
    """Every regularizer × mixer × differentiation × precision."""
    bytes_, y = images(4)
    x = bytes_ / 255 * 2 - 1
    kinds = [*product(REGULARIZERS, MIXERS, DIFFERENTIATIONS, PRECISIONS)]
    kinds += product(FAMILY, ["none", "fgsm"], DIFFERENTIATIONS, ["fp32"])
    kinds += product(["jafr"], FAMILY_MIXERS, ["double backprop"], ["fp32"])
    for names in kinds:
        regularizer, mixer, differentiation, precision = names
        objective = Objective(
            (REGULARIZERS | FAMILY).get(regularizer, ()),
            (MIXERS | FAMILY_MIXERS)[mixer],
            pixels=SPACE,
            **DIFFERENTIATIONS[differentiation],
        )
        yield Case(", ".join(names), training(objective, PRECISIONS[precision], x, y))


def training(objective: Objective, dtype: torch.dtype | None, x: Tensor, y: Tensor) -> Run:
    """Steps of training."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    recorded: dict[str, Tensor] = {}

    def loss_fn(at: Tensor) -> Tensor:
        with nullcontext() if dtype is None else torch.autocast("cuda", dtype=dtype):
            return F.cross_entropy(model(at), y, reduction="none")

    def run(steps: int) -> None:
        for step in range(steps):
            record = recorded.__setitem__
            objective(loss_fn, x, model=model, step=step, record=record).backward()
            optimizer.step()
            optimizer.zero_grad()

    return run


def attacks() -> Iterator[Case]:
    """A step of an attack."""
    model, (pixels, labels) = network().eval(), images(6)
    for loss, select, start in product(get_args(AttackLoss), get_args(Select), ("random", "zero")):

        def run(steps: int, kind: tuple[Any, ...] = (loss, select, start)) -> None:
            loss, select, start = kind
            attack = PGDAttack(8 / 255, steps, None, 2, loss=loss, select=select, start=start)
            attack.run(model, pixels, labels, batch_size=4)

        yield Case(f"{loss}, {select}, {start} start", run, begins=True)


def profiles() -> Iterator[Case]:
    """A batch of a profile; the batches lie on the GPU."""
    model, batch = network().eval(), images(4)

    def some(count: int) -> list[tuple[Tensor, Tensor]]:
        return [batch] * count

    def image(count: int) -> None:
        image_profile(pixels for pixels, _ in some(count))

    runs: dict[str, Run] = {
        "images": image,
        "gradients": lambda n: gradient_profile(model, some(n)),
        "gradients at random points": lambda n: gradient_profile(
            model, some(n), point=random_points(8 / 255)
        ),
        "gradients at adversarial points": lambda n: gradient_profile(
            model, some(n), point=mixed_points(model, PGD(steps=2))
        ),
    }
    yield from (Case(name, run, begins=True) for name, run in runs.items())


def accuracies() -> Iterator[Case]:
    """A batch of images that are classified."""
    model = network().eval()

    pixels, labels = images(8)

    def run(count: int) -> None:
        some = pixels[: 4 * count], labels[: 4 * count]
        logits, right = logits_of(model, *some, batch_size=4), some[1]
        expected_calibration_error(logits, right)
        mean_cross_entropy(logits, right)

    yield Case("accuracy and calibration", run, begins=True)


def corruptions() -> Iterator[Case]:
    """A batch under each corruption, mild and severe."""
    pixels, _ = images(3, 32)
    index = torch.arange(3, device=GPU)
    for name, severity in product(CORRUPTIONS, (2, 5)):

        def run(count: int, kind: tuple[str, int] = (name, severity)) -> None:
            for _ in range(count):
                corrupt(pixels, *kind, index=index)

        yield Case(f"{name} {severity}", run)
    yield Case("low noise", lambda n: [band_noise(pixels, "low", rms=0.1) for _ in range(n)])
    yield Case("sign noise", lambda n: [sign_noise(pixels, 0.1) for _ in range(n)])


def recipes() -> Iterator[Case]:
    """A step of a recipe: its loader, its augmentation, its trainer."""
    pixels = images(4)[0] / 255
    yield Case("augmentation", partial(augmentation, pixels))
    kinds = [*product(["fgsm+jafr"], ("no", "fp16", "bf16")), ("fgsm+gradalign", "no")]
    for method, precision in kinds:
        yield Case(f"{method}, {precision}", partial(trained, method, precision), begins=True)


def augmentation(pixels: Tensor, count: int) -> None:
    """Random crops of batches on the GPU."""
    augment, generator = RandomCropAndFlip(), torch.Generator().manual_seed(0)
    for _ in range(count):
        augment(pixels, generator)


def trained(method: Method, precision: str, steps: int) -> None:
    """An epoch of so many steps."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    with TemporaryDirectory() as folder:
        job = tiny_experiment.run(Path(folder), method, epochs=1, best_every=0)
        few = tiny_experiment.images(8 * steps)
        accelerator = Accelerator(mixed_precision=precision)
        trainer = make_trainer(job, few, few, accelerator)
        trainer.evaluate, trainer._checkpoints, trainer.output_dir = None, None, None
        trainer.train()


class Reads(InputGradientNorm):
    """Waits in each step."""

    def penalty(self, gradients: Sequence[Tensor]) -> Tensor:
        return super().penalty(gradients) * float(gradients[0].sum().item() == 0 or 1)


class Copies(InputGradientNorm):
    """Copies a constant in each step."""

    def penalty(self, gradients: Sequence[Tensor]) -> Tensor:
        clean = gradients[0]
        return (clean * torch.ones(clean.shape[-1]).to(clean.device)).square().sum()


class Mixes(InputGradientNorm):
    """Forgets to copy it."""

    def penalty(self, gradients: Sequence[Tensor]) -> Tensor:
        return (gradients[0] * torch.ones(gradients[0].shape[-1])).square().sum()


def broken() -> Iterator[Case]:
    """What must be seen: each waits, copies or mixes in each step."""
    bytes_, y = images(4)
    for kind in (Reads, Copies, Mixes):
        objective = Objective([kind()])
        yield Case(kind.__name__, training(objective, None, bytes_ / 255, y))


GROUPS: dict[str, Callable[[], Iterator[Case]]] = {
    group.__name__: group
    for group in (objectives, attacks, profiles, accuracies, corruptions, recipes, broken)
}


def events(run: Run, steps: int) -> Counter[str]:
    """What happens in so many steps."""
    device.events.clear()
    run(steps)
    return Counter({f"{what} at {where}": n for (what, where), n in device.events.items()})


def audited(case: Case) -> list[Counter[str]]:
    """The events of the first run, and those of each later step."""
    first, second = events(case.run, 1), events(case.run, 1)
    return [first, events(case.run, 2) - second if case.begins else second]


def main() -> None:
    """Print, as JSON, the events by group and case, and how many seconds each group took."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    found = {}
    for group in sys.argv[1:] or GROUPS:
        start = time.process_time()
        found[group] = {case.name: audited(case) for case in GROUPS[group]()}
        print(f"{group}: {time.process_time() - start:.1f} s", file=sys.stderr)
    print(json.dumps(found))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # torch may abort as it ends the threads of a GPU that is not there


if __name__ == "__main__":
    main()
