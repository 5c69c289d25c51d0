"""An experiment on random images that takes a second."""

from pathlib import Path
from typing import Any

import torch
from recipe.settings.experiment import Experiment, Method, Settings, Source, preset
from recipe.training.run import Run

from freqreg.evaluation.inputs.labelled_images import LabelledImages

SETTINGS = Settings(
    **preset(
        train_images=40,
        batch_size=8,
        padding=1,
        flip=True,
        noise_std=0.0,
        blur_std=0.0,
        model="preact_resnet18",
        width=2,
        pretrained=False,
        enlarged=None,
        channels_last=False,
        optimizer="sgd",
        epochs=3,
        warmup_epochs=0,
        max_learning_rate=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        eps_255=8,
        fgsm_alpha=1.25,
        pgd_steps=2,
        pgd_step_255=4.0,
        pgd2_steps=2,
        limits_stay=False,
        nfgsm_alpha=1.0,
        nfgsm_noise=2.0,
        zerograd_quantile=0.4,
        lambda_align=0.2,
        lambda_elle=10.0,
        lambda_llr=20.0,
        lambda_cure=1e-3,
        lambda_norm=0.02,
        apr_share=0.25,
        lambda_freq=0.01,
        lambda_fourier=0.5,
        penalty_target=None,
        absolute_floor=None,
        alpha_shift=0.0,
        batch_norm="main pass",
        penalty_every=1,
        penalty_share=1.0,
        best_every=4,
        best_images=5,
        best_attack_steps=1,
        attack_steps=2,
        attack_restarts=1,
        attack_select="broken",
        attacked_images=6,
        fgsm_images=7,
        profiled_images=8,
        noise_rms=0.1,
    )
)
EXPERIMENT = Experiment("tiny", "Tiny", SETTINGS, {}, {"paper": {}, "mini": {}, "smoke": {}})


def images(count: int = 40, *, size: int = 8, seed: int = 0) -> LabelledImages:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 3
    return LabelledImages(pixels, labels, ("ash", "birch", "cedar"))


def run(folder: Path, method: Method = "jafr", *, seed: int = 0, **values: Any) -> Run:
    changes = {name: Source.COMMAND_LINE(value) for name, value in values.items()}
    settings = EXPERIMENT.settings(method, "smoke", changes)
    return Run("tiny", method, settings, seed, folder, "smoke", checkpoint_every=2)
