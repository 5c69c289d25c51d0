"""Terminal tables, curves and JSON of the profiles that `freqreg profile` measures."""

import json
from collections.abc import Iterator, Mapping

from rich.table import Table
from torch import Tensor

from freqreg.evaluation.corruptions.names import SavedAs
from freqreg.evaluation.metrics.frequency_profile import FrequencyProfile
from freqreg.evaluation.results.seeds import short_names
from freqreg.radial import BANDS

Profiles = dict[tuple[str, str], FrequencyProfile]
"""Profiles by their kind (images, or J at some points) and by the source of the data or model."""

IMAGES = "images"


def curves(profiles: Profiles, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the shares of each model at each kind of points; of the images without a model."""
    of_models = {key: p for key, p in profiles.items() if key[0] != IMAGES} or profiles
    several = len({of for of, _ in of_models}) > 1
    return {
        f"{names[source]} ({of})" if several else names[source]: profile.shares
        for (of, source), profile in of_models.items()
    }


def tables(profiles: Profiles) -> Iterator[Table]:
    """Yield a table of log B_low and one of shares of power by band."""
    biases = Table("log B_low of", "", "as in the paper", "flipped", "both quadrants")
    shares = Table("share of power (%) of", "", *(f"{name} radii" for name in BANDS))
    names = short_names(source for _, source in profiles)
    for (of, source), profile in profiles.items():
        found = profile.log_b_low_by_quadrant().values()
        biases.add_row(names[source], of, *(f"{bias:.2f}" for bias in found))
        within = profile.share_by_band().values()
        shares.add_row(names[source], of, *(f"{100 * share:.1f}" for share in within))
    yield from (biases, shares)


def as_json(profiles: Profiles, saved_as: SavedAs) -> str:
    """Return every number, and the format that the images were saved in first."""
    content = [
        {
            "of": of,
            "whose": source,
            "images": profile.images,
            "saved_as": saved_as,
            "log_b_low": profile.log_b_low_by_quadrant(),
            "share_by_band": profile.share_by_band(),
            "shares": profile.shares.tolist(),
            "spectrum": profile.spectrum.tolist(),
            "flipped_spectrum": profile.flipped.tolist(),
        }
        for (of, source), profile in profiles.items()
    ]
    return json.dumps(content) + "\n"
