"""The demo: five methods on crops of photographs that come with scikit-image and scikit-learn.

    python recipes/photos.py

Nothing is downloaded. Ten photographs are ten classes; train and test crops come from disjoint
regions. Methods that are finished in the output folder are not trained again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from recipe.command_line import given_settings, plain_errors, start_accelerator
from recipe.images import Images
from recipe.photographs import load_photographs
from recipe.results.files import Results
from recipe.results.spectra_figure import save_spectra
from recipe.results.terminal_table import print_table
from recipe.settings.experiment import (
    Experiment,
    Method,
    Settings,
    our_choice,
    preset,
)
from recipe.training.run import Run, perform
from safetensors.torch import save_file

TEST_SET = "test.safetensors"
SMALL = "small enough for five methods in some minutes on 2 cores"

SETTINGS = Settings(
    train_images=our_choice(5000, SMALL),
    batch_size=our_choice(64, SMALL),
    padding=our_choice(4, "as on CIFAR-10"),
    flip=our_choice(True, "as on CIFAR-10"),
    model=our_choice("preact_resnet18", "as on CIFAR-10"),
    width=our_choice(8, SMALL),
    optimizer=our_choice("sgd", "as on CIFAR-10"),
    epochs=our_choice(2, SMALL),
    warmup_epochs=our_choice(0, "as on CIFAR-10"),
    max_learning_rate=our_choice(0.02, "the same for all methods; 0.05 diverges"),
    momentum=our_choice(0.9, "as on CIFAR-10"),
    weight_decay=our_choice(5e-4, "as on CIFAR-10"),
    eps_255=our_choice(8, "as on CIFAR-10"),
    fgsm_alpha=our_choice(1.25, "without effect from a zero start"),
    pgd_steps=our_choice(10, "as on CIFAR-10"),
    pgd_step_255=our_choice(2, "as on CIFAR-10"),
    pgd2_steps=our_choice(2, "as on CIFAR-10"),
    nfgsm_alpha=our_choice(1.0, "as on CIFAR-10"),
    nfgsm_noise=our_choice(2.0, "as on CIFAR-10"),
    lambda_align=our_choice(0.2, "as on CIFAR-10"),
    lambda_freq=our_choice(0.01, "ten times the paper's: at 0.003 JaFR raises log B_low by 0.7"),
    lambda_fourier=our_choice(0.5, "Krishnamachari et al. 2022"),
    penalty_target=our_choice(None, "the library's default"),
    absolute_floor=our_choice(None, "the library's default"),
    alpha_shift=our_choice(0.0, "the library's default"),
    batch_norm=our_choice("main pass", "the library's default"),
    penalty_every=our_choice(1, "as on CIFAR-10"),
    penalty_share=our_choice(1.0, "as on CIFAR-10"),
    best_every=our_choice(0, "the last models alone are compared"),
    best_images=our_choice(256, "as on CIFAR-10"),
    best_attack_steps=our_choice(10, "as on CIFAR-10"),
    attack_steps=our_choice(10, SMALL),
    attack_restarts=our_choice(1, SMALL),
    attack_select=our_choice("broken", "the library's default"),
    attacked_images=our_choice(500, SMALL),
    fgsm_images=our_choice(500, SMALL),
    profiled_images=our_choice(1000, "all test images"),
    noise_rms=our_choice(0.1, "hurts without hiding the image"),
)

EXPERIMENT = Experiment(
    "photos",
    "Photographs",
    SETTINGS,
    {},
    {
        "mini": {},
        "smoke": preset(
            train_images=128, width=4, epochs=1, attacked_images=50, profiled_images=100
        ),
    },
)


@dataclass(frozen=True)
class Arguments:
    """Options of the demo."""

    methods: tuple[Method, ...] = ("standard", "jafr", "jafr-", "fgsm", "fgsm+jafr")
    """What is trained and compared."""
    preset: Literal["mini", "smoke"] = "mini"
    """mini: the demo, in some minutes; smoke: shows in seconds that everything works."""
    seed: int = 0
    """Of the weights, the order of the data and their augmentation."""
    output_dir: Path = Path("runs/photos")
    """Where each method has a folder; what is finished there is not trained again."""
    figure: Path | None = None
    """The picture of the models' input gradients; None: spectra.png in the output folder."""
    lambda_freq: float | None = None
    """Size of JaFR's λ; None: the preset's."""
    epochs: int | None = None
    """Passes over the train images; None: the preset's."""

    def run(self, method: Method) -> Run:
        """The run of a method."""
        settings = EXPERIMENT.settings(method, self.preset, given_settings(self))
        folder = self.output_dir / method
        return Run(EXPERIMENT.name, method, settings, self.seed, folder, self.preset)


def main() -> None:
    """Train what is not trained yet, print the table and draw the picture."""
    arguments = tyro.cli(Arguments, description=__doc__)
    with plain_errors():
        runs = [arguments.run(method) for method in arguments.methods]
        accelerator = start_accelerator(runs[0])
        train, test = load_photographs()
        results = [perform(run, train, test, accelerator, resume=True) for run in runs]
        if accelerator.is_main_process:
            report(arguments, results, test)


def report(arguments: Arguments, results: Sequence[Results], test: Images) -> None:
    """The table on the screen; the picture and the test images in their files."""
    print_table(results, title=f"{EXPERIMENT.title}, seed {arguments.seed}")
    path = arguments.figure or arguments.output_dir / "spectra.png"
    runs = [arguments.run(method) for method in arguments.methods]
    save_spectra({run.method: run.folder for run in runs}, test, runs[0].settings, path)
    data = arguments.output_dir / TEST_SET
    save_file({"pixels": test.pixels, "labels": test.labels}, data)
    print(f"The models are in {arguments.output_dir}, their spectra in {path}. To learn more:")
    print(f"  freqreg evaluate {runs[0].folder} {runs[-1].folder} --data {data}")
    print(f"  freqreg report evaluations --data {data}")


if __name__ == "__main__":
    main()
