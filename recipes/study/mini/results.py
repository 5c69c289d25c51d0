"""The mini study as one table: a row per run, with or without a file."""

import json
from collections.abc import Iterator, Mapping
from math import nan
from pathlib import Path
from statistics import fmean
from typing import Any

from pandas import DataFrame, concat
from recipe.results.measures import Measures
from recipe.settings.experiment import Method

from freqreg.evaluation.corruptions.names import CORRUPTIONS, SEVERITIES
from freqreg.evaluation.results import summary
from freqreg.evaluation.results.paper import published
from freqreg.evaluation.results.records import RecordError
from freqreg.radial import BANDS
from study.mini.intervals import Estimate, mean_over_seeds
from study.mini.runs import BAND, STAGES, Regime, Stage, StudyRun, cells
from study.mini.scores import collapsed

A_MODEL = 0.15
"""Clean accuracy below which a run counts as no model."""

ATTACKS = ("pgd", "cw", "autoattack", "square", "transfer")

Pair = tuple[DataFrame, DataFrame]
"""Runs of two kinds: the one of the claim, and the one that it is compared with."""

FULL = {
    "penalty_every": 1,
    "penalty_share": 1.0,
    **dict.fromkeys(("penalty_target", "noise_std", "blur_std")),
}
"""The settings of a full penalty on images without noise or blur; None: not changed by a kind."""

NOT_FOUND = {
    **dict.fromkeys(("is_model", "collapsed", "lost"), False),
    **dict.fromkeys((*Measures.__annotations__, "seconds", *CORRUPTIONS), nan),
    **dict.fromkeys((f"fourier_sensitivity/{band}" for band in BANDS), nan),
    **dict.fromkeys((f"{attack}/accuracy" for attack in ATTACKS), nan),
    "noise/sign": nan,
    **dict.fromkeys(("commit", "versions"), ""),
}
"""The values of a run without a file."""


def read(folder: Path) -> DataFrame:
    """A row per reported run, sorted by kind, then by seed.

    Columns: `stage`, `method`, `seed`, `label` and `files` as in `StudyRun`; its settings; `found`
    (its file is there), `is_model` (it learnt anything), `collapsed` (by the study's words), `lost`
    (by `summary.catastrophic_overfitting`); what `Measures` has; the scores as SCORE/PART;
    the accuracy under each corruption in percent, mean over severities, by its name; `seconds` of a
    step, `commit` and `versions`. NaN where it was not measured.

    Raises:
        RecordError: a file holds another run than its name says.
    """
    study = DataFrame([_row(folder, run) for stage in STAGES for run in cells(stage)])
    return study.iloc[study.groupby("files", sort=False).ngroup().argsort(kind="stable")]


def unplanned(folder: Path) -> list[str]:
    """Files that belong to no reported run."""
    planned = {path_of(folder, run) for stage in STAGES for run in cells(stage)}
    others = sorted(set(folder.glob("stage*/*.json")) - planned)
    return [path.relative_to(folder).as_posix() for path in others]


def select(study: DataFrame, stage: Stage, *methods: Method, **settings: Any) -> DataFrame:
    """The rows of some methods in a stage, method by method.

    The settings are those of `FULL`, with the given changes, as in a StudyRun.

    Raises:
        LookupError: a method has no such runs.
    """
    rows = study.loc[study.stage == stage]
    for name, value in (FULL | settings).items():
        rows = rows.loc[rows[name].isna() if value is None else rows[name] == value]
    absent = ", ".join(method for method in methods if method not in set(rows.method))
    if absent:
        raise LookupError(
            f"Stage {stage} has no runs of {absent} with {settings}; runs.py has all."
        )
    return concat([rows.loc[rows.method == method] for method in methods])


def kinds(rows: DataFrame) -> Iterator[tuple[str, str, DataFrame]]:
    """Label, files and rows of each kind, whose runs differ in their seeds alone."""
    for _, runs in rows.groupby("files", sort=False):
        yield runs.label.iloc[0], runs.files.iloc[0], runs


def paired(figures: str | list[str], *groups: DataFrame) -> list[Any]:
    """One or several figures of each group, by seed, where all groups have a model.

    Raises:
        LookupError: a group has several kinds.
    """
    for group in groups:
        if group.files.nunique() != 1:
            raise LookupError(f"One kind is needed, not {', '.join(group.label.unique())}.")
    models = [group.loc[group.is_model].set_index("seed") for group in groups]
    common = [seed for seed in models[0].index if all(seed in model.index for model in models)]
    return [model.loc[common, figures] for model in models]


def jafr_pairs(study: DataFrame, regime: Regime) -> tuple[Pair, Pair]:
    """JaFR, and JaFR(-), with standard training."""
    stage, (towards_low, towards_high) = regime.frequency, regime.jafr
    standard = select(study, stage, "standard")
    jafr = select(study, stage, "jafr", **towards_low)
    return (jafr, standard), (select(study, stage, "jafr-", **towards_high), standard)


def band_pairs(study: DataFrame, regime: Regime) -> tuple[list[Pair], Pair]:
    """Each setting for low frequencies, and the one for high ones, with standard training."""
    stage = regime.bands
    standard = select(study, stage, "standard")
    low = [(select(study, stage, "fourier-low", **settings), standard) for settings in regime.low]
    return low, (select(study, stage, "fourier-high", **BAND), standard)


def difference(figure: str, pair: Pair, factor: float = 1.0) -> Estimate:
    """The first kind's figure less the other's, times a factor: the mean over seeds."""
    own, other = paired(figure, *pair)
    return mean_over_seeds(factor * (own - other))


def published_mean(method: Method, score: str, dataset: str = "cifar10") -> float:
    """The paper's figure; NaN if it prints none."""
    figure = published(dataset, method, score)
    return nan if figure is None else figure.mean


def path_of(folder: Path, run: StudyRun) -> Path:
    """The file of a run."""
    return folder / f"stage{run.stage}" / f"{run.name}.json"


def load(path: Path, run: StudyRun) -> dict[str, Any]:
    """The figures in a run's file, by the names of `read`'s columns.

    Raises:
        RecordError: it is cut off, or belongs to another run or other settings.
    """
    try:
        content = json.loads(path.read_text())
        config, scores = content["config"], content.get("scores", {})
        found = {**config["settings"], "method": config["method"], "seed": config["seed"]}
        values = {name: scores[name]["values"] for name in scores}
        figures = {
            **_outcome(Measures(**content["measures"])),
            **content["measures"],
            **{f"{name}/{part}": value for name in values for part, value in values[name].items()},
            **{name: _accuracy(values.get(f"corruption/{name}")) for name in CORRUPTIONS},
            "seconds": content["seconds_per_step"],
            "commit": content["commit"] or "unknown",
            "versions": ", ".join(f"{name} {value}" for name, value in config["versions"].items()),
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{path} is not what a cell of the mini study leaves ({error!r}). Delete it, and run "
            "`python recipes/study mini` again."
        ) from error
    wanted = _wanted(run).items()
    different = [(key, value) for key, value in wanted if found.get(key, value) != value]
    if different:
        text = "; ".join(f"{key} {found[key]}, needed {value}" for key, value in different)
        raise RecordError(
            f"{path} is of another cell than {run.name} of stage {run.stage} ({text}). Delete it, "
            "and run the study again."
        )
    return figures


def _row(folder: Path, run: StudyRun) -> dict[str, Any]:
    path = path_of(folder, run)
    about = {"stage": run.stage, "label": run.label, "files": run.files, "found": path.exists()}
    figures = load(path, run) if path.exists() else {}
    return {**about, **_wanted(run), **NOT_FOUND, **figures}


def _wanted(run: StudyRun) -> dict[str, Any]:
    settings = {name: sourced.value for name, sourced in run.settings().items()}
    return {**settings, "method": run.method, "seed": run.seed}


def _outcome(found: Measures) -> dict[str, bool]:
    is_model = found.clean >= A_MODEL
    lost = summary.catastrophic_overfitting(clean=found.clean, fgsm=found.fgsm, pgd=found.pgd)
    flags = {"collapsed": collapsed(found), "lost": lost}
    return {"is_model": is_model, **{name: is_model and flag for name, flag in flags.items()}}


def _accuracy(by_severity: Mapping[str, float] | None) -> float:
    """In percent, mean over all severities."""
    if by_severity is None:
        return nan
    return 100 * fmean(by_severity[str(severity)] for severity in SEVERITIES)
