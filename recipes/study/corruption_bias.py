"""log B_low of CIFAR-10-C's corruptions beside the paper's Table 1, written into the docs.

python recipes/study corruption-bias --data-dir ~/data/cifar10
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import mean

import torch
from recipe.data_sets import CIFAR10, load_split
from torch import Tensor
from tqdm import tqdm

from freqreg.evaluation.corruptions import SEVERITIES, corrupt
from freqreg.evaluation.corruptions.names import SavedAs
from freqreg.evaluation.inputs.examples import unit_range
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.metrics.frequency_profile import image_profile
from freqreg.evaluation.metrics.rank_correlation import rank_correlation
from freqreg.evaluation.results.environment import versions
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW

PAGE = Path(__file__).parents[2] / "docs" / "corruptions.md"
BEGIN, END = "<!-- written by recipes/study/corruption_bias.py -->", "<!-- end -->"
BATCH_SIZE = 500


@dataclass(frozen=True)
class Arguments:
    """Options of the measurement."""

    data_dir: Path | None = None
    """A local copy of CIFAR-10; the hub by default."""
    seed: int = 0
    """Seed of the corruptions."""
    page: Path = PAGE
    """The page with the table to replace; the figures go beside it, as JSON."""


def main(arguments: Arguments) -> None:
    """Measure, and write the page and its figures."""
    images = load_split(CIFAR10, "test", arguments.data_dir)
    biases = {
        name: [corruption_bias(images, name, severity, arguments.seed) for severity in SEVERITIES]
        for name in tqdm(CORRUPTION_LOG_B_LOW, desc="corruptions")
    }
    found = {**versions(torch.device("cpu")), "pillow": version("pillow")}
    data = f"CIFAR-10 test, {'hub' if arguments.data_dir is None else 'local copy'}"
    settings = {"data": data, "images": len(images), "seed": arguments.seed, **found}
    figures = json.dumps({"settings": settings, "log_b_low": biases}, indent=2)
    arguments.page.with_suffix(".json").write_text(figures + "\n")
    table = markdown(biases, len(images), arguments.seed)
    arguments.page.write_text(replaced(arguments.page.read_text(), table))
    print(table)


def corruption_bias(
    images: LabelledImages, name: str, severity: int, seed: int, saved_as: SavedAs = None
) -> float:
    """log B_low of the mean spectrum of corrupted minus clean images."""
    return image_profile(_differences(images, name, severity, seed, saved_as)).log_b_low()


def markdown(biases: Mapping[str, list[float]], images: int, seed: int) -> str:
    """The table, and its agreement with the paper's."""
    means = {name: mean(biases[name]) for name in CORRUPTION_LOG_B_LOW}
    off = {name: means[name] - published for name, published in CORRUPTION_LOG_B_LOW.items()}
    lines = ["| corruption | 1 | 2 | 3 | 4 | 5 | mean | paper | difference |", "|---|" + "--:|" * 8]
    for name, published in CORRUPTION_LOG_B_LOW.items():
        figures = [f"{bias:.2f}" for bias in (*biases[name], means[name], published)]
        lines.append(f"| {name} | {' | '.join(figures)} | {off[name]:+.2f} |")
    correlation = rank_correlation(list(means.values()), list(CORRUPTION_LOG_B_LOW.values()))
    largest = max(off, key=lambda name: abs(off[name]))
    summary = (
        f"{images:,} test images, seed {seed}: Spearman's rank correlation {correlation:.3f}; "
        f"the largest difference, {off[largest]:+.2f}, is {largest}'s."
    )
    return "\n".join([*lines, "", summary])


def replaced(page: str, table: str, begin: str = BEGIN) -> str:
    """The page with the table between the marks replaced."""
    before, rest = page.split(begin)
    _, after = rest.split(END, 1)
    return f"{before}{begin}\n\n{table}\n\n{END}{after}"


def _differences(
    images: LabelledImages, name: str, severity: int, seed: int, saved_as: SavedAs
) -> Iterator[Tensor]:
    for rows in torch.arange(len(images)).split(BATCH_SIZE):
        clean = images.pixels[rows]
        found = corrupt(clean, name, severity, seed=seed, index=rows, saved_as=saved_as)
        yield found - unit_range(clean)
