"""The card of a trained model: what it is, how to load it, how it was trained, its figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from freqreg.evaluation.inputs.models import NETWORKS, TIMM, WEIGHTS
from freqreg.evaluation.results.paper import DATASETS, METHODS
from recipe.measure import Measures
from recipe.results.files import Results
from recipe.settings.experiment import Settings

CARD = "README.md"
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
    """The card as Markdown.

    Args:
        results: of the finished run.
        train_images: how many it was trained on.
        test_images: how many there are.
        published: the method's settings in the preset paper; None: it is no experiment of the
            paper.
    """
    config = results.config
    sections = (
        _title(config),
        _what(results, train_images),
        "## Method\n\n" + "\n".join(f"- {PARTS[part]}" for part in results.method.split("+")),
        "## Measured\n\n" + _measured(results, test_images),
        "## Loading\n\n" + _loading(config),
        "## Settings\n\n" + _settings(config, published),
        "## Made with\n\n" + _made_with(results),
        "## Licence\n\nThe code that made this model is released under the Apache Licence 2.0. No "
        "licence of the weights or the images is stated here; see where the images are from.",
    )
    return "\n\n".join(sections) + "\n"


def loading_lines(config: Mapping[str, Any]) -> list[str]:
    """Plain Python that loads the model from its own folder, by torch or timm alone."""
    name, kwargs = config["model"], config["kwargs"]
    given = "".join(f", {key}={value!r}" for key, value in kwargs.items())
    if name.startswith(TIMM):
        bare = name.removeprefix(TIMM)
        return [
            "import timm",
            f'model = timm.create_model("{bare}"{given}, checkpoint_path="{WEIGHTS}").eval()',
        ]
    network = NETWORKS[name].__name__
    return [
        "from safetensors.torch import load_file",
        f"from freqreg.networks import {network}",
        f"model = {network}({given.removeprefix(', ')}).eval()",
        f'model.load_state_dict(load_file("{WEIGHTS}"))',
    ]


def _title(config: Mapping[str, Any]) -> str:
    method, data = config["method"], config["experiment"]
    named = f"# {METHODS.get(method, method)} on {DATASETS.get(data, data)}"
    return f"{named}, preset {config['preset']}, seed {config['seed']}"


def _what(results: Results, train_images: int) -> str:
    config, device = results.config, results.config["versions"]["device"]
    kwargs = ", ".join(f"{name} {value}" for name, value in config["kwargs"].items())
    return (
        f"A classifier of {len(config['class_names'])} classes: `{config['model']}` ({kwargs}). It "
        "takes RGB images as floats in [0, 1], which are not normalised further. Trained from "
        f"scratch on {train_images:,} images by `recipes/{config['experiment']}.py`: "
        f"{results.steps:,} steps of {results.seconds_per_step:.3f} seconds on {device}, "
        f"mixed precision: {config['mixed_precision']}."
    )


def _measured(results: Results, test_images: int) -> str:
    best = results.best
    models = [("last, reported", results.measures)]
    if best is not None:
        models.append((f"best, step {best.step}", best.measures))
    head = ["", *(name for name, _ in models), "test images"]
    rows = _figures([measures for _, measures in models], results.config["settings"], test_images)
    found = _table(head, rows) + "\n\nAccuracies in percent; one run, so no interval over seeds."
    if best is None:
        return found
    where = "that are not trained on" if best.held_out else "that are trained on, not augmented"
    return (
        f"{found}\n\nThe best model, in `best/`, is the first with the highest accuracy under PGD "
        f"({results.config['settings']['best_attack_steps']} steps of ε/4, one restart) on "
        f"{best.images} train images {where}: {100 * best.pgd:.2f} %."
    )


def _figures(
    models: Sequence[Measures], settings: Mapping[str, Any], test_images: int
) -> Iterator[list[str]]:
    eps, noise = f"ε {settings['eps_255']:g}/255", f"noise of RMS {settings['noise_rms']:g}"
    steps, restarts = settings["attack_steps"], settings["attack_restarts"]
    starts = f"{restarts} restart{'' if restarts == 1 else 's'}"
    pgd = f"PGD, {eps}, {steps} steps, {starts}, {settings['attack_select']}"
    every, profiled = test_images, settings["profiled_images"]
    shares = {
        "clean": ("clean", every),
        "fgsm": (f"FGSM, {eps}", settings["fgsm_images"]),
        "pgd": (pgd, settings["attacked_images"]),
        "high_noise": (f"high-frequency {noise}", every),
        "low_noise": (f"low-frequency {noise}", every),
    }
    for name, (title, images) in shares.items():
        values = [f"{100 * getattr(measures, name):.2f}" for measures in models]
        yield [title, *values, f"{min(images, test_images):,}"]
    biases = {"log_b_low": "log B_low of input gradients", "log_b_low_flipped": "of mirrored ones"}
    for name, title in biases.items():
        values = [f"{getattr(measures, name):.2f}" for measures in models]
        yield [title, *values, f"{min(profiled, test_images):,}"]


def _loading(config: Mapping[str, Any]) -> str:
    lines = "\n".join(loading_lines(config))
    return (
        f"In this folder, the safetensors file being a plain state dict:\n\n```python\n{lines}\n"
        "```\n\nTo measure it, FOLDER being this one and IMAGES a data set of the Hugging Face "
        "hub, a local folder or a safetensors file:\n\n```bash\nfreqreg evaluate FOLDER --data "
        "IMAGES\n```"
    )


def _settings(config: Mapping[str, Any], published: Settings | None) -> str:
    values, sources = config["settings"], config["sources"]
    if published is None:
        rows = ([f"`{name}`", str(value), sources[name]] for name, value in values.items())
        return "No experiment of the paper.\n\n" + _table(["setting", "value", "source"], rows)
    theirs, theirs_from = published.values(), published.sources()
    rows = [
        [f"`{name}`", str(value), sources[name], str(theirs[name]), theirs_from[name]]
        for name, value in values.items()
        if value != theirs[name]
    ]
    head = ["setting", "here", "source", "preset paper", "source"]
    told = _table(head, rows) if rows else "None differs."
    return (
        f"What differs from the preset `paper` of this method. `config.json` has all.\n\n{told}\n\n"
        "What that preset itself does otherwise than the published code is on the page "
        "`docs/recipe-cards.md` of the repository."
    )


def _made_with(results: Results) -> str:
    versions = ", ".join(f"{name} {found}" for name, found in results.config["versions"].items())
    return f"{versions}; commit {results.commit or 'unknown, outside of a repository'}."


def _table(head: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
