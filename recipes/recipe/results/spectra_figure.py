"""The picture of trained models' input gradients."""

from collections.abc import Mapping
from pathlib import Path

from freqreg.evaluation.inputs.examples import unit_range
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import load_model
from freqreg.evaluation.plots import gradient_figure
from freqreg.evaluation.report.portrait import Portrait
from freqreg.evaluation.results.paper import METHODS
from recipe.results.measures import PROFILED_AT_ONCE
from recipe.settings.experiment import Settings


def save_spectra(
    folders: Mapping[str, Path], test: LabelledImages, settings: Settings, path: Path
) -> None:
    """Draw spectrum, log B_low and the first image's input gradient of finished runs, by method.

    The gradients are taken at as many test images as the settings say. The ending of `path` names
    the format.
    """
    shown = test.first(settings.profiled_images.value)
    panels = []
    for method, folder in folders.items():
        images, size = (shown.pixels, shown.labels), PROFILED_AT_ONCE
        portrait = Portrait.measure(load_model(folder).model, *images, batch_size=size)
        panels.append(portrait.panel(METHODS.get(method, method)))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = gradient_figure(panels, image=unit_range(shown.pixels[:1])[0])
    figure.savefig(path, dpi=150, bbox_inches="tight")
