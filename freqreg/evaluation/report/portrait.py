"""A model's column of the paper's Table 2, stored in a file beside its record."""

from dataclasses import dataclass, fields
from pathlib import Path

from jaxtyping import Float, Float64, Integer
from torch import Tensor, nn

from freqreg._files import atomic_write
from freqreg.evaluation.inputs.examples import Images, unit_range
from freqreg.evaluation.metrics.frequency_profile import (
    gradient_profile,
    image_profile,
    input_gradients,
)
from freqreg.evaluation.plots import GradientPanel
from freqreg.evaluation.processes import Share
from freqreg.evaluation.results.records import ModelScores
from freqreg.frequency_bias import log_low_frequency_bias


@dataclass(frozen=True, eq=False)
class Portrait:
    """Spectra of a model's input gradients J and of its images, and J of one example."""

    spectrum: Float64[Tensor, "rows columns"]  # mean magnitude spectrum of J, DC first
    images_spectrum: Float64[Tensor, "rows columns"]  # mean magnitude spectrum of the images
    gradient: Float[Tensor, "channel height width"]  # J of the example
    image: Float[Tensor, "channel height width"]  # the example, in [0, 1]
    shares: Float64[Tensor, " radii"] | None = None  # shares of J's power; None in older files

    @classmethod
    def measure(
        cls,
        model: nn.Module,
        images: Images,
        labels: Integer[Tensor, " images"],
        *,
        batch_size: int = 64,
    ) -> "Portrait":
        """Measure the portrait of a model in eval mode; the example is the first image."""
        share = Share.of(len(images))
        rows = share.rows.split(batch_size)
        (gradient,) = input_gradients(model, [(images[:1], labels[:1])])
        profile = gradient_profile(model, ((images[r], labels[r]) for r in rows), share=share)
        return cls(
            spectrum=profile.spectrum,
            images_spectrum=image_profile((images[r] for r in rows), share=share).spectrum,
            gradient=gradient[0].float().cpu(),
            image=unit_range(images[:1])[0].float().cpu(),
            shares=profile.shares,
        )

    def panel(self, name: str, log_b_low: float | None = None) -> GradientPanel:
        """Return its column in a figure, by default with the log B_low of its spectrum."""
        bias = log_low_frequency_bias(self.spectrum).item() if log_b_low is None else log_b_low
        return GradientPanel(name, self.spectrum, bias, self.gradient)

    def save(self, path: Path, *, of: ModelScores) -> None:
        """Write the portrait, with what identifies the record's model and images."""
        from safetensors.torch import save_file

        tensors = {name: t.contiguous() for name, t in vars(self).items() if t is not None}
        with atomic_write(path) as beside:
            save_file(tensors, beside, {"weights": _identity(of)})

    @classmethod
    def load(cls, path: Path, *, of: ModelScores) -> "Portrait | None":
        """Read a portrait; None if there is none, or the record is of another model or images."""
        from safetensors import safe_open

        if not path.is_file():
            return None
        with safe_open(path, framework="pt") as file:
            kept = (file.metadata() or {}).get("weights", "")
            names = {field.name for field in fields(cls)} - ({"shares"} - {*file.keys()})
            tensors = {name: file.get_tensor(name) for name in names}
        return cls(**tensors) if _identity(of) == kept else None


def _identity(record: ModelScores) -> str:
    """Return what identifies the record's model and images; nothing for a recipe's results."""
    if "weights" not in record.about:
        return ""
    known = (record.about.get(name) for name in ("weights", "answers", "kwargs", "data"))
    return "".join(f"{each}" for each in known if each)


def portrait_file(record_file: Path) -> Path:
    """Return the path of a model's portrait, beside the JSON file with its scores."""
    return record_file.with_suffix(".portrait.safetensors")
