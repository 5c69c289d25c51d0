"""The card of a trained model: what it is, how to load it, how it was trained, its figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from freqreg.evaluation.inputs.models import NETWORKS, TIMM, WEIGHTS
from freqreg.evaluation.results.paper import DATASETS, METHODS
from recipe.results.files import Results
from recipe.settings.experiment import Settings

CARD, TEMPLATE = "README.md", Path(__file__).with_name("model_card.md")
PAPER = "Chan, Ong & Tan, IJCAI 2022, [arXiv:2205.04533](https://arxiv.org/abs/2205.04533)"
JAFR = f"JaFR, L_cls + λ·L_freq with L_freq = -log B_low: {PAPER}, equations 10 to 12"
FOURIER = (
    "FourierSensitivity, L_cls + λ · the share of the input gradient's power outside of a band: "
    "Krishnamachari, Ng & Foo, TMLR 2022, [openreview](https://openreview.net/forum?id=VmTYgjYloM)"
)
GOODFELLOW = "Goodfellow et al., ICLR 2015, [arXiv:1412.6572](https://arxiv.org/abs/1412.6572)"
MADRY = "Madry et al., ICLR 2018, [arXiv:1706.06083](https://arxiv.org/abs/1706.06083)"

PARTS: Mapping[str, str] = {
    "standard": f"Cross-entropy of clean images, L_cls: {PAPER}, equation 4.",
    "jafr": f"{JAFR}; λ > 0 favours low frequencies.",
    "jafr-": f"{JAFR}; λ < 0 favours high frequencies.",
    "fgsm": f"Adversarial training by FGSM from a zero start: {GOODFELLOW}.",
    "fourier-low": f"{FOURIER}; the band of low frequencies.",
    "fourier-high": f"{FOURIER}; the band of high frequencies.",
    "gradalign": "GradAlign: Andriushchenko & Flammarion, NeurIPS 2020, "
    "[arXiv:2007.02617](https://arxiv.org/abs/2007.02617).",
    "pgd": f"Adversarial training by PGD from a zero start: {MADRY}.",
    "nfgsm": "Adversarial training by N-FGSM: de Jorge et al., NeurIPS 2022, "
    "[arXiv:2202.01181](https://arxiv.org/abs/2202.01181).",
    "pgd2": f"Adversarial training by PGD of few steps from a zero start: {MADRY}.",
}
"""What each part of a method's name stands for."""


def card(
    results: Results, *, train_images: int, test_images: int, published: Settings | None
) -> str:
    """The card as Markdown, with what the hub wants to know in its head.

    Args:
        results: of the finished run.
        train_images: how many it was trained on.
        test_images: how many there are.
        published: the method's settings in the preset paper; None: it is no experiment of the
            paper.
    """
    config, best = results.config, results.best
    last = {"last, reported": results.measures}
    filled = ModelCard.from_template(
        ModelCardData(
            library_name="timm" if config["model"].startswith(TIMM) else "freqreg",
            pipeline_tag="image-classification",
            tags=["freqreg", *results.method.split("+")],
        ),
        template_path=str(TEMPLATE),
        results=results,
        config=config,
        method=METHODS.get(results.method, results.method),
        data_set=DATASETS.get(config["experiment"], config["experiment"]),
        train_images=train_images,
        parts=[PARTS[part] for part in results.method.split("+")],
        models=last | ({f"best, step {best.step}": best.measures} if best else {}),
        figures=_figures(config["settings"], test_images),
        networks=NETWORKS,
        weights=WEIGHTS,
        published=published and vars(published),
    )
    return f"{filled}\n"


def _figures(settings: Mapping[str, Any], test_images: int) -> list[tuple[str, str, int, int]]:
    """Of each of the measures: name, title, factor, and of how many images it is."""
    eps, noise = f"ε {settings['eps_255']:g}/255", f"noise of RMS {settings['noise_rms']:g}"
    steps, restarts = settings["attack_steps"], settings["attack_restarts"]
    starts = f"{restarts} restart{'' if restarts == 1 else 's'}"
    attacked, fgsm, profiled = (
        min(settings[f"{name}_images"], test_images) for name in ("attacked", "fgsm", "profiled")
    )
    pgd = f"PGD, {eps}, {steps} steps, {starts}, {settings['attack_select']}"
    return [
        ("clean", "clean", 100, test_images),
        ("fgsm", f"FGSM, {eps}", 100, fgsm),
        ("pgd", pgd, 100, attacked),
        ("high_noise", f"high-frequency {noise}", 100, test_images),
        ("low_noise", f"low-frequency {noise}", 100, test_images),
        ("log_b_low", "log B_low of input gradients", 1, profiled),
        ("log_b_low_flipped", "of mirrored ones", 1, profiled),
    ]
