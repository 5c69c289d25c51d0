"""The picture of trained models' input gradients."""

from collections.abc import Mapping
from pathlib import Path

from freqreg.evaluation.inputs.examples import unit_range
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import load_model
from freqreg.evaluation.metrics.frequency_profile import input_gradients
from freqreg.evaluation.plots import GradientPanel, gradient_figure
from freqreg.evaluation.results.paper import METHODS
from recipe.results.measures import profile_of
from recipe.settings.experiment import Settings


def save_spectra(
    folders: Mapping[str, Path],
    test: LabelledImages,
    settings: Settings,
    path: Path,
    *,
    example: int = 0,
) -> None:
    """Draw spectrum, log B_low and one input gradient of each finished run.

    Args:
        folders: of the runs, by method.
        test: the images that the gradients are taken at.
        settings: say at how many.
        path: of the picture; its ending names the format.
        example: number of the test image that is shown with its gradients.
    """
    shown = test.select([example])
    panels = [
        _panel(METHODS.get(method, method), folder, test, shown, settings)
        for method, folder in folders.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = gradient_figure(panels, image=unit_range(shown.pixels)[0].numpy())
    figure.savefig(path, dpi=150, bbox_inches="tight")


def _panel(
    title: str, folder: Path, test: LabelledImages, shown: LabelledImages, settings: Settings
) -> GradientPanel:
    model = load_model(folder).model
    profile = profile_of(model, test, settings)
    (gradient,) = input_gradients(model, [(shown.pixels, shown.labels)])
    return GradientPanel(title, profile.spectrum.numpy(), profile.log_b_low(), gradient[0].numpy())
