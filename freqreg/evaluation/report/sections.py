"""What a report says of one data set, section by section; one without numbers is left out."""

from collections.abc import Iterable, Iterator, Sequence

from freqreg.evaluation.report.blocks import Block, Chapter, Points, Section, Table, Text
from freqreg.evaluation.report.conditions import condition_table, missing_lines, version_lines
from freqreg.evaluation.report.figures import (
    gradients_picture,
    robustness_picture,
    tradeoff_picture,
)
from freqreg.evaluation.report.groups import Group, grouped, with_published
from freqreg.evaluation.report.numbers import STANDARD
from freqreg.evaluation.report.runs import ReportedRun
from freqreg.evaluation.report.tables import (
    attack_table,
    bias_table,
    corruption_table,
    seed_tables,
    trust_table,
)
from freqreg.evaluation.report.tradeoff import comparisons, tradeoff_table
from freqreg.evaluation.results.paper import DATASETS, published, tables_of

COLLAPSED = Text(
    "Collapsed: FGSM leaves at least 30 % of the clean accuracy, and PGD less than a quarter of "
    "what FGSM leaves. Such a model only seems robust."
)
BIAS = Text(
    "log B_low of the input gradients J: the higher, the more low frequencies dominate; white "
    "noise of 32 × 32 pixels has 3.53. The paper's sees one quadrant of the spectrum; that of the "
    "mirrored J is the other one. Spectra are divided by their means, DC is at the upper left."
)
CORRUPTED = Text(
    "Accuracy under each corruption, mean over five severities, from low frequencies to high by "
    "the corruption's own log B_low (the paper's, of CIFAR-10-C). mCE is relative to standard "
    "training; lower is better."
)
TRADEOFF = Text(
    "Change of accuracy against the corruption's own log B_low, in points, of means over seeds. A "
    "method that steers to low frequencies is expected to gain on the left and to lose on the "
    "right: a negative rank correlation (Spearman's). The four noises lie close together and can "
    "make it alone, so it is given without them, too."
)
ROBUSTNESS = Text(
    "PGD of growing radius. Accuracy that does not reach 0, or a loss that stops growing, betrays "
    "masked gradients."
)
TRUST = Text(
    "Expected calibration error over 15 bins, mean cross-entropy, and accuracy under random noise, "
    "all without an adversary."
)
CONDITIONS = Text(
    "The evaluation's settings, and the paper's where they differ. Sampling error: half the widest "
    "95 % interval of an accuracy on so many images, in points; the spread over seeds lacks it."
)
COSTS = Text("The paper's seconds are of a V100; compare the multiples of standard training.")
SMALLER = (
    "These runs are of the preset {preset}, not of the paper's experiment: its figures stand "
    "beside for orientation, and a difference is no failure to reproduce."
)


def chapter(name: str, runs: Sequence[ReportedRun]) -> Chapter:
    """All about the runs on one data set of one preset.

    Args:
        name: begins the names of figure files.
        runs: with the same `dataset` and `preset`.
    """
    dataset = runs[0].dataset
    own = grouped(runs)
    groups, compared = with_published(own, dataset), comparisons(own, dataset)
    tradeoffs = (
        tradeoff_picture(f"{name}-tradeoff-{number}", comparison)
        for number, comparison in enumerate(compared, start=1)
    )
    attacked = (*_warnings(dataset, runs[0].preset), attack_table(groups, dataset))
    gradients = gradients_picture(f"{name}-gradients", own)
    conditions = (CONDITIONS, condition_table(own), *_footing(groups))
    sections = (
        _section("Under attack", attacked, dataset, 3, 4, 5, 6),
        _section(
            "Frequencies of the input gradients",
            (BIAS, gradients, bias_table(groups, dataset)),
            dataset,
            2,
        ),
        _section("Under corruptions", (CORRUPTED, corruption_table(groups, dataset)), dataset, 1),
        _section("Low against high frequencies", (TRADEOFF, *tradeoffs, tradeoff_table(compared))),
        _section("Against ε", (ROBUSTNESS, robustness_picture(f"{name}-robustness", own))),
        _section("Calibration and noise", (TRUST, trust_table(groups, dataset))),
        _section("Every seed", seed_tables(own)),
        _section("How it was measured", conditions),
    )
    return Chapter(chapter_title(runs[0]), tuple(s for s in sections if s is not None))


def chapter_title(run: ReportedRun) -> str:
    """The data set, and the preset where there is one."""
    title = DATASETS.get(run.dataset, run.dataset)
    return f"{title}, preset {run.preset}" if run.preset else title


def _warnings(dataset: str, preset: str) -> Iterator[Text]:
    if dataset in DATASETS and preset not in ("", "paper"):
        yield Text(SMALLER.format(preset=preset))
    yield COLLAPSED
    if published(dataset, STANDARD, "seconds") is not None:
        yield COSTS


def _footing(groups: Sequence[Group]) -> Iterator[Block]:
    lists = {"Measured with:": version_lines(groups), "Missing:": missing_lines(groups)}
    for title, lines in lists.items():
        if lines:
            yield from (Text(title), Points(lines))


def _section(
    title: str, blocks: Iterable[Block | None], dataset: str = "", *tables: int
) -> Section | None:
    """The section, with the numbers of the paper's tables; None where nothing has numbers."""
    told = tuple(b for b in blocks if b is not None and not (isinstance(b, Table) and not b.rows))
    own = ", ".join(str(number) for number in tables_of(dataset) if number in tables)
    name = f"{title} (Table {own})" if own else title
    return Section(name, told) if any(not isinstance(b, Text | Points) for b in told) else None
