"""The demo's comparison of its models: a table, a picture, and their figures as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from freqreg._files import write_text
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import load_model
from freqreg.evaluation.plots import draw_shares, png
from freqreg.evaluation.plots.style import grid, line_styles
from freqreg.evaluation.results.paper import METHODS
from recipe.photographs import SIDE
from recipe.results.files import Results, as_json
from recipe.results.measures import profile_of
from recipe.settings.experiment import Settings

HEAD = (
    *("method", "clean %", "low-frequency\nnoise %", "high-frequency\nnoise %", "PGD %"),
    *("log B_low", "low / middle / high\nradii, % of power", "seconds\na step"),
)


@dataclass(frozen=True)
class Model:
    """A trained model.

    Args:
        method: its training method.
        accuracies: from 0 to 1: under low-frequency noise, clean, under high-frequency noise,
            under PGD.
        log_b_low: log B_low of its input gradients.
        bands: share of their power at low, middle and high radii.
        shares: share of their power by radius, from 1 up.
        seconds_per_step: seconds of a training step.
    """

    method: str
    accuracies: dict[str, float]
    log_b_low: float
    bands: dict[str, float]
    shares: list[float]
    seconds_per_step: float

    @classmethod
    def of(
        cls, results: Results, folder: Path, test: LabelledImages, settings: Settings
    ) -> "Model":
        """The measures of a finished run, and the shares of power of its model."""
        found, profile = results.measures, profile_of(load_model(folder).model, test, settings)
        accuracies = {
            "low-frequency\nnoise": found.low_noise,
            "clean": found.clean,
            "high-frequency\nnoise": found.high_noise,
            "PGD": found.pgd,
        }
        shares = profile.shares.tolist()
        bias, bands = found.log_b_low, profile.share_by_band()
        return cls(results.method, accuracies, bias, bands, shares, results.seconds_per_step)

    def row(self) -> tuple[str, ...]:
        """Its row in the table with the head `HEAD`."""
        low, clean, high, pgd = (f"{100 * each:.1f}" for each in self.accuracies.values())
        bands = " / ".join(f"{100 * share:.0f}" for share in self.bands.values())
        figures = (f"{self.log_b_low:.1f}", bands, f"{self.seconds_per_step:.3f}")
        return (METHODS[self.method], clean, low, high, pgd, *figures)


def comparison_figure(models: Sequence[Model]) -> Figure:
    """Draw the power of the models' gradients by radius, and their accuracy under noise."""
    figure, ((left, right),) = grid(1, 2, panel=(5.2, 3.8))
    draw_shares(left, {METHODS[model.method]: model.shares for model in models}, size=SIDE)
    for model, style in zip(models, line_styles(), strict=False):
        *shown, _ = model.accuracies.items()
        names, accuracies = zip(*shown, strict=True)
        right.plot(names, [100 * each for each in accuracies], markersize=6, **style)
    left.set_title("where the input gradient has its power\n", fontsize=10)
    right.set_title("what the model is accurate on\n", fontsize=10)
    right.set_ylabel("accuracy (%)")
    right.set_ylim(0, 100)
    right.grid(color="0.9", linewidth=0.6)
    return figure


def save_comparison(models: Sequence[Model], about: Mapping[str, Any], path: Path) -> None:
    """Write the picture, and a JSON file of the same name with the figures and their settings."""
    content = {**about, "models": [asdict(each) for each in models]}
    write_text(path.with_suffix(".json"), as_json(content))
    path.write_bytes(png(comparison_figure(models)))
