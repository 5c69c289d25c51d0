"""The table of how-to-choose: the effect of each weight and target, from finished cells."""

from pandas import DataFrame
from recipe.settings.experiment import Method

from study.mini.claims.corruption_shifts import NOISE_AND_BLUR, OTHERS, changes
from study.mini.claims.differences import SHARES
from study.mini.results import paired, select
from study.mini.runs import BAND, LOW, Stage
from study.mini.text import number, signed

STEERED: tuple[tuple[Stage, Method, dict[str, float]], ...] = (
    (2, "standard", {}),
    (2, "jafr", {}),
    (2, "jafr-", {}),
    (4, "standard", {}),
    *((4, "fourier-low", low) for low in LOW),
    (4, "fourier-high", BAND),
)
"""Cells with a full penalty, each compared with standard training of its stage."""

ABSENT = "not run yet"


def steering(study: DataFrame) -> DataFrame:
    """A row per kind of cell: the frequencies of its gradients, and accuracy minus standard's."""
    return DataFrame(
        _row(select(study, stage, method, **settings), select(study, stage, "standard"))
        for stage, method, settings in STEERED
    )


def _row(method: DataFrame, standard: DataFrame) -> dict[str, str]:
    own, other = paired(["clean", "log_b_low", *SHARES.values()], method, standard)
    shift = changes(method, standard).mean().to_numpy()
    figures = {
        "log B_low": number(own.log_b_low.mean(), 1),
        "low / middle / high": " / ".join(
            number(own[share].mean(), 2) for share in SHARES.values()
        ),
        "clean": signed(100 * (own - other).clean.mean(), 1),
        "noise and blur": signed(NOISE_AND_BLUR.value(shift), 1),
        "weather and digital": signed(OTHERS.value(shift), 1),
    }
    there = figures if len(own) else dict.fromkeys(figures, ABSENT)
    label, files = method.label.iloc[0], method.files.iloc[0]
    return {"": label, "seeds": str(len(own)), **there, "cells": files}
