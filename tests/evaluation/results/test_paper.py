"""The paper's figures against a second copy of them, typed from its pages in its own layout."""

import json
from importlib.resources import files
from statistics import fmean

import pytest

from freqreg.evaluation.corruptions.names import CORRUPTIONS
from freqreg.evaluation.results.paper import (
    CORRUPTION_LOG_B_LOW,
    DATASETS,
    ERRATA,
    METHODS,
    RELATIVE_COST,
    Published,
    published,
    tables_of,
)

TABLE_1_METHODS = ("standard", "jafr", "fgsm+jafr-", "fgsm", "fgsm+jafr", "pgd")
TABLE_1 = """
clean              93.11±0.20 93.13±0.11 83.16±1.01 84.80±1.37 79.94±0.22 79.31±0.23 -
mCE                100.00     95.84      127.51     124.32     134.37     135.71     -
fog                86.23±0.45 86.60±0.28 67.15±3.81 63.00±4.03 56.60±0.72 56.36±1.25 12.85
saturate           89.27±0.16 89.07±0.28 77.55±0.76 79.54±1.07 76.61±0.22 76.29±0.21 12.28
contrast           75.10±1.08 73.45±0.95 50.93±3.10 44.06±3.97 41.96±0.61 41.19±0.88 12.14
brightness         91.56±0.15 91.45±0.18 81.02±0.88 83.04±1.20 76.95±0.42 76.01±0.58 12.01
snow               79.54±0.71 81.06±0.15 75.05±1.52 77.83±1.43 74.28±0.27 73.73±0.21 11.53
frost              75.41±0.63 78.97±0.56 75.82±1.64 77.70±1.44 70.50±0.54 69.06±1.18 10.61
motion_blur        75.67±1.35 75.13±1.21 67.33±2.01 65.15±3.47 72.65±0.41 72.15±0.78 10.61
zoom_blur          76.42±1.65 76.48±1.20 71.39±1.87 69.37±3.91 75.38±0.44 74.78±0.67 10.37
elastic_transform  81.62±0.60 81.98±0.55 73.88±1.45 73.90±2.27 74.86±0.37 74.25±0.58 10.05
pixelate           72.90±0.70 72.45±0.89 79.78±0.72 81.20±0.55 78.15±0.14 77.47±0.33 8.2
gaussian_blur      73.38±1.58 73.53±1.16 70.56±1.51 68.49±3.93 74.39±0.38 73.71±0.63 7.82
defocus_blur       81.57±0.83 81.76±0.71 74.22±1.37 73.42±3.01 76.15±0.29 75.46±0.54 7.49
glass_blur         50.18±1.75 55.12±0.58 66.28±2.89 70.18±1.07 73.75±0.28 73.33±0.49 7.01
spatter            80.77±0.11 82.29±0.45 76.46±1.68 78.49±2.04 75.83±0.32 75.29±0.32 6.77
jpeg_compression   77.76±0.56 79.56±0.60 80.38±0.77 81.47±1.54 78.19±0.18 77.58±0.24 6.51
speckle_noise      62.79±2.44 66.74±0.51 68.86±4.83 74.07±4.08 77.36±0.21 76.22±0.54 3.76
shot_noise         59.63±2.75 64.32±0.76 68.32±5.06 73.73±4.19 77.35±0.24 76.19±0.42 3.68
impulse_noise      56.50±1.64 58.75±0.59 57.73±6.09 64.51±8.91 71.55±0.54 71.56±0.74 3.63
gaussian_noise     48.70±3.31 54.34±1.00 62.91±6.74 69.40±5.27 76.59±0.33 75.15±0.49 3.62
"""
TABLE_2 = """
standard 1.56
jafr 16.71
fgsm 2.68
fgsm+jafr- 0.326
fgsm+jafr 15.41
fgsm+gradalign 7.88
pgd 7.49
"""
TABLE_3 = """
standard        96.62±0.05 21.86±0.90  0.17±0.02
jafr            96.58±0.07 21.94±1.16  0.14±0.03
fgsm            92.33±0.20 89.16±5.87  0.52±0.90
fgsm+jafr       87.22±4.63 59.4±12.75  19.64±16.26
fgsm+gradalign  92.51±0.26 59.52±0.26  46.63±0.15
pgd             92.13±0.51 62.38±0.86  56.79±0.29
"""
TABLE_4 = """
standard        93.11±0.20 16.04±0.85 0
jafr            93.13±0.11 15.86±0.88 0
fgsm            84.80±1.37 85.14±4.01 0.01±0.02
fgsm+jafr       79.94±0.22 53.12±0.25 46.32±0.15
fgsm+gradalign  80.07±0.21 54.26±0.55 46.97±0.15
pgd             79.31±0.23 54.00±0.72 49.63±0.20
"""
TABLE_5 = """
standard        72.27±0.31 8.04±0.84  0.13±0.03
jafr            74.59±0.37 8.60±0.81  0.08±0.04
fgsm            52.08±2.85 31.43±2.15 0.04±0.04
fgsm+jafr       50.49±0.21 26.96±0.36 23.42±0.27
fgsm+gradalign  50.68±0.28 27.44±0.68 23.93±0.19
pgd             49.57±0.44 27.68±0.77 25.24±0.25
"""
TABLE_6 = """
standard        63.59 2.23  0.05  0.1575
jafr            63.44 1.87  0.04  0.6015
fgsm            45.89 17.54 0     0.4245
fgsm+jafr       47.43 20.3  18.86 0.6027
fgsm+gradalign  40.69 19.86 17.81 0.6003
pgd             40    17.54 19.91 1.34
"""
ATTACKED = ("clean", "fgsm", "pgd", "seconds")
TYPED = [
    (2, "cifar10", TABLE_2, ("log_b_low",)),
    (3, "svhn", TABLE_3, ATTACKED),
    (4, "cifar10", TABLE_4, ATTACKED),
    (5, "cifar100", TABLE_5, ATTACKED),
    (6, "tiny_imagenet", TABLE_6, ATTACKED),
]
CONTENT = json.loads(files("freqreg.evaluation.results").joinpath("paper_results.json").read_text())


def figures(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split("±")))


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def stored(number: int) -> dict[str, dict[str, list[float]]]:
    (table,) = (t for t in CONTENT["tables"] if t["table"] == number)
    return table["methods"]


def accuracies(method: str) -> list[float]:
    found = [published("cifar10", method, f"corruption/{name}") for name in CORRUPTION_LOG_B_LOW]
    return [figure.mean for figure in found if figure is not None]


def test_table_1_is_as_typed():
    typed = {method: {} for method in TABLE_1_METHODS}
    for name, *cells, _ in rows(TABLE_1):
        score = name if name in ("clean", "mCE") else f"corruption/{name}"
        for method, cell in zip(TABLE_1_METHODS, cells, strict=True):
            typed[method][score] = list(figures(cell))
    assert stored(1) == typed


@pytest.mark.parametrize(("number", "dataset", "table", "scores"), TYPED)
def test_table_is_as_typed(number, dataset, table, scores):
    typed = {
        method: {s: list(figures(cell)) for s, cell in zip(scores, cells, strict=False)}
        for method, *cells in rows(table)
    }
    assert stored(number) == typed
    assert number in tables_of(dataset)


def test_corruption_biases_are_as_typed():
    typed = {name: float(bias) for name, *_, bias in rows(TABLE_1) if bias != "-"}
    assert typed == CORRUPTION_LOG_B_LOW
    assert set(CORRUPTION_LOG_B_LOW) == set(CORRUPTIONS)
    assert list(CORRUPTION_LOG_B_LOW.values()) == sorted(typed.values(), reverse=True)


def test_a_figure_is_found_by_data_set_method_and_score():
    assert published("svhn", "pgd", "pgd") == Published(3, 56.79, 0.29)
    assert published("cifar10", "jafr", "corruption/snow") == Published(1, 81.06, 0.15)
    assert published("tiny_imagenet", "jafr", "seconds") == Published(6, 0.6015)
    assert published("cifar10", "standard", "cw") is None
    assert published("photos", "standard", "clean") is None


def test_relative_cost_is_in_multiples_of_standard_training():
    figure = published("tiny_imagenet", "pgd", RELATIVE_COST)
    assert figure is not None
    assert figure.table == 6
    assert figure.mean == pytest.approx(8.51, abs=0.005)
    assert published("svhn", "pgd", RELATIVE_COST) is None


def test_tables_that_repeat_a_figure_agree():
    assert all(stored(1)[m]["clean"] == stored(4)[m]["clean"] for m in ("standard", "jafr", "pgd"))


def mce_of_rows(method: str) -> float:
    pairs = zip(accuracies(method), accuracies("standard"), strict=True)
    return 100 * fmean((100 - own) / (100 - base) for own, base in pairs)


@pytest.mark.parametrize("method", TABLE_1_METHODS)
def test_mce_is_in_doubt_where_it_does_not_follow_from_its_column(method):
    figure = published("cifar10", method, "mCE")
    assert figure is not None
    is_doubted = any(erratum.concerns(figure, method, "mCE") for erratum in ERRATA)
    assert is_doubted == (abs(mce_of_rows(method) - figure.mean) > 0.005)


def test_the_note_gives_the_mce_that_follows():
    (note,) = [erratum.note for erratum in ERRATA if erratum.score == "mCE"]
    assert f"{mce_of_rows('fgsm+jafr'):.1f} and {mce_of_rows('pgd'):.1f}" in note


def test_a_weaker_attack_that_leaves_less_is_in_doubt():
    for dataset in DATASETS:
        for method in METHODS:
            fgsm, pgd = (published(dataset, method, attack) for attack in ("fgsm", "pgd"))
            if fgsm is not None and pgd is not None:
                doubted = any(erratum.concerns(fgsm, method, "fgsm") for erratum in ERRATA)
                assert doubted == (fgsm.mean < pgd.mean)


def test_every_table_is_of_known_methods_and_data_sets():
    for table in CONTENT["tables"]:
        assert table["dataset"] in DATASETS
        assert set(table["methods"]) <= set(METHODS)
