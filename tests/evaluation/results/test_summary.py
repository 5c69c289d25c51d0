from dataclasses import replace

import pytest
from torch.testing import assert_close

from freqreg.evaluation.corruptions.names import CORRUPTIONS, GROUPS, MAIN
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from freqreg.evaluation.results.records import Entry, ModelScores, RecordError
from freqreg.evaluation.results.summary import (
    ALEXNET,
    BANDS,
    catastrophic_overfitting,
    corruption_accuracy,
    has_collapsed,
    incomparable,
    mean_corruption_error,
    summary,
    summary_rows,
)
from freqreg.evaluation.results.terminal_tables import score_table, seed_table

# Table 1 of the paper, in the order of CORRUPTION_LOG_B_LOW: accuracies under the corruptions
TABLE_1 = {
    "standard": "86.23 89.27 75.10 91.56 79.54 75.41 75.67 76.42 81.62 72.90 73.38 81.57 50.18 "
    "80.77 77.76 62.79 59.63 56.50 48.70",
    "jafr": "86.60 89.07 73.45 91.45 81.06 78.97 75.13 76.48 81.98 72.45 73.53 81.76 55.12 82.29 "
    "79.56 66.74 64.32 58.75 54.34",
    "fgsm": "63.00 79.54 44.06 83.04 77.83 77.70 65.15 69.37 73.90 81.20 68.49 73.42 70.18 78.49 "
    "81.47 74.07 73.73 64.51 69.40",
    "fgsm+jafr-": "67.15 77.55 50.93 81.02 75.05 75.82 67.33 71.39 73.88 79.78 70.56 74.22 66.28 "
    "76.46 80.38 68.86 68.32 57.73 62.91",
}


def _entry(**values: float) -> Entry:
    return Entry(values, {}, {}, 0.0)


def _record(method: str, **scores: float) -> ModelScores:
    """With the corruptions of Table 1, spread over severities."""
    about = {"model": f"runs/{method}", "method": method, "training_seed": 0}
    record = ModelScores(
        about | {"weights": f"{scores}"},
        {name: _entry(accuracy=value) for name, value in scores.items()},
    )
    accuracies = map(float, TABLE_1[method].split())
    for name, percent in zip(CORRUPTION_LOG_B_LOW, accuracies, strict=True):
        severities = {str(s): percent / 100 + (3 - s) / 100 for s in range(1, 6)}
        record.scores[f"corruption/{name}"] = _entry(**severities)
    return record


@pytest.mark.parametrize(
    ("method", "published"),
    [("standard", 100.0), ("jafr", 95.84), ("fgsm", 124.32), ("fgsm+jafr-", 127.51)],
)
def test_mce_is_the_published_one(method, published):
    error = mean_corruption_error(_record(method), _record("standard"), CORRUPTIONS)
    assert error == pytest.approx(published, abs=0.005)


def _changed(record: ModelScores, about: dict, **settings: object) -> ModelScores:
    entry = record.scores["corruption/fog"]
    scores = record.scores | {"corruption/fog": replace(entry, settings=settings)}
    return ModelScores({**record.about, **about}, scores)


@pytest.mark.parametrize(
    ("about", "settings", "told"),
    [
        ({"data": "d"}, {}, "data: d and None"),
        ({"images": 9}, {}, "images: 9 and None"),
        ({}, {"seed": 1}, "seed: 1 and None"),
        ({}, {"corrupted_data": "c"}, "corrupted_data: c and None"),
        ({}, {"saved_as": "jpeg85"}, "saved_as: jpeg85 and None"),
    ],
)
def test_mce_is_of_records_that_were_measured_alike(about, settings, told):
    record = _changed(_record("jafr"), about, **settings)
    with pytest.raises(RecordError, match=f"runs/jafr has no mCE: it and runs/standard .*{told}"):
        mean_corruption_error(record, _record("standard"))
    assert incomparable(record, _record("standard")) == [told]
    alike = summary(_record("jafr"), _record("standard"))
    assert {"mCE", "mCE (19)"} <= alike.keys()
    assert not {"mCE", "mCE (19)"} & summary(record, _record("standard")).keys()


def test_images_of_another_size_are_no_mce_for_their_size():
    one, other = (
        replace(_changed(_record("jafr"), {"data": size}), test_set=f"x, {size}×{size} pixels")
        for size in ("32", "64")
    )
    assert incomparable(one, other)[0] == "test set: 32×32 pixels and 64×64 pixels"


# AlexNet's errors by severity, from the thread that ALEXNET names, in the order of MAIN, but JPEG's
ALEXNET_BY_SEVERITY = """
.69528 .82542 .93554 .98138 .99452
.71224 .85108 .93574 .98182 .99146
.78374 .89808 .9487 .9872 .99548
.65624 .73202 .85036 .91364 .94714
.64308 .75054 .88806 .91622 .93344
.5843 .70048 .82108 .8975 .92638
.70008 .76992 .80784 .84198 .87198
.71726 .88392 .86468 .9187 .94952
.6139 .79734 .8879 .89942 .9343
.67474 .7605 .84378 .8726 .945
.4514 .48502 .54048 .62166 .7244
.64548 .7615 .88874 .9776 .9927
.52596 .70116 .55686 .64076 .80554
.52218 .5462 .73728 .87092 .91262
"""


def test_alexnets_errors_are_the_means_of_those_by_severity():
    rows = [list(map(float, row.split())) for row in ALEXNET_BY_SEVERITY.split("\n")[1:-1]]
    means = dict(zip(MAIN, (sum(row) / 5 for row in rows), strict=False))
    assert means | {"jpeg_compression": 0.6065} == pytest.approx(ALEXNET, abs=1e-9)
    assert ALEXNET.keys() == set(MAIN)


def _alexnet(**settings: object) -> ModelScores:
    found = {"saved_as": "jpeg85", "corruptions_from": "ImageNet-C"} | settings
    about = {"model": "alexnet", "method": "alexnet", "training_seed": 0, "classes_of": "ImageNet"}
    entries = {n: Entry({"3": 1 - error}, found, {}, 0.0) for n, error in ALEXNET.items()}
    return ModelScores(about, {f"corruption/{name}": entry for name, entry in entries.items()})


def test_the_mce_of_alexnet_is_100():
    numbers = summary(_alexnet(), _record("standard"))
    assert numbers["mCE"] == pytest.approx(100, abs=1e-9)
    assert numbers["mCE, unnormalised"] == pytest.approx(100 * sum(ALEXNET.values()) / 15)
    assert "mCE (19)" not in numbers


@pytest.mark.parametrize("other", [{"saved_as": None}, {"corruptions_from": "made here"}])
def test_other_conditions_are_not_compared_with_alexnet(other):
    record = _alexnet(**other)
    numbers = summary(record, record)
    assert "mCE" not in numbers
    assert "mCE, unnormalised" in numbers
    with pytest.raises(RecordError, match="at 224 pixels and saved as JPEG"):
        mean_corruption_error(record, None)


def test_other_classes_are_not_compared_with_alexnet():
    record = _record("jafr")
    with pytest.raises(RecordError, match="1000 classes"):
        mean_corruption_error(record, None)
    assert mean_corruption_error(_alexnet(), None, CORRUPTIONS) is None


def test_the_mce_is_over_the_main_fifteen():
    own, base = (
        dict(zip(CORRUPTION_LOG_B_LOW, map(float, TABLE_1[method].split()), strict=True))
        for method in ("jafr", "standard")
    )
    ratios = [(100 - own[name]) / (100 - base[name]) for name in MAIN]
    numbers = summary(_record("jafr"), _record("standard"))
    assert numbers["mCE"] == pytest.approx(100 * sum(ratios) / 15)
    assert numbers["mCE (19)"] == pytest.approx(95.84, abs=0.005)


# clean, FGSM and PGD accuracy of Tables 3 to 6; collapsed or not by what the paper says of them
PUBLISHED = [
    (93.11, 16.04, 0.00, False),  # CIFAR-10, standard
    (84.80, 85.14, 0.01, True),  # FGSM AT
    (79.94, 53.12, 46.32, False),  # FGSM + JaFR
    (80.07, 54.26, 46.97, False),  # FGSM + GradAlign
    (79.31, 54.00, 49.63, False),  # PGD AT
    (96.62, 21.86, 0.17, False),  # SVHN, standard
    (92.33, 89.16, 0.52, True),  # FGSM AT
    (92.51, 59.52, 46.63, False),  # FGSM + GradAlign
    (72.27, 8.04, 0.13, False),  # CIFAR-100, standard
    (52.08, 31.43, 0.04, True),  # FGSM AT
    (50.49, 26.96, 23.42, False),  # FGSM + JaFR
    (63.59, 2.23, 0.05, False),  # Tiny ImageNet, standard
    (45.89, 17.54, 0.00, True),  # FGSM AT
    (40.00, 17.54, 19.91, False),  # PGD AT
]


@pytest.mark.parametrize(("clean", "fgsm", "pgd", "expected"), PUBLISHED)
def test_collapse_is_told_from_the_published_tables(clean, fgsm, pgd, expected):
    assert catastrophic_overfitting(clean=clean / 100, fgsm=fgsm / 100, pgd=pgd / 100) is expected


def test_a_collapse_needs_all_three_scores():
    assert has_collapsed(_record("fgsm", clean=0.85, fgsm=0.85)) is None
    assert has_collapsed(_record("fgsm", clean=0.85, fgsm=0.85, pgd=0.0)) is True
    unlike = _record("fgsm", clean=0.85, fgsm=0.85, pgd=0.0)
    unlike.scores["pgd"] = replace(unlike.scores["pgd"], settings={"eps": 16 / 255})
    assert has_collapsed(unlike) is None


def test_the_rows_of_the_table_have_the_summary_and_the_collapse():
    record = _record("fgsm", clean=0.85, fgsm=0.85, pgd=0.0)
    rows = summary_rows(record, _record("standard"))
    assert ("runs/fgsm", "fgsm", 0, None, "summary", "collapsed", 1.0) in rows
    assert {part: value for *_, part, value in rows} == summary(record, _record("standard")) | {
        "collapsed": 1.0
    }
    assert "collapsed" not in [part for *_, part, _ in summary_rows(_record("fgsm"))]


def test_bands_and_groups_part_the_corruptions():
    for parts in (BANDS, GROUPS):
        assert sorted(name for names in parts.values() for name in names) == sorted(CORRUPTIONS)
    assert set(BANDS["high frequencies"]) == set(GROUPS["noise"])


def test_the_summary_has_the_means_over_corruptions():
    numbers = summary(_record("standard", clean=0.93), _record("jafr"))
    table = dict(zip(CORRUPTION_LOG_B_LOW, map(float, TABLE_1["standard"].split()), strict=True))
    assert numbers["clean"] == 0.93
    assert_close(numbers["corruptions (19)"], sum(table.values()) / 1900)
    assert_close(numbers["corruptions (15)"], sum(table[name] for name in MAIN) / 1500)
    assert_close(numbers["corruptions (noise)"], (48.70 + 59.63 + 56.50 + 62.79) / 400)
    assert_close(numbers["corruptions (high frequencies)"], numbers["corruptions (noise)"])
    assert numbers["mCE"] > 100
    assert "pgd" not in numbers
    assert "corruptions (19, recalibrated)" not in numbers


def test_a_mean_over_corruptions_needs_all_of_them():
    record = _record("standard")
    del record.scores["corruption/fog"]
    numbers = summary(record, _record("standard"))
    assert "corruptions (15)" not in numbers
    assert "mCE" not in numbers
    assert "corruptions (blur)" in numbers


def test_a_corruption_that_is_part_of_no_mean_has_its_own_row():
    whole, few = _record("standard"), _record("jafr", clean=0.9)
    kept = ("clean", "corruption/fog")
    few = ModelScores(few.about, {name: few.scores[name] for name in kept})
    few.scores["recalibrated/fog"] = _entry(**{"1": 0.5, "2": 0.7})
    fog = corruption_accuracy(few, "fog")
    assert summary(few) == {"clean": 0.9, "corruption/fog": fog, "recalibrated/fog": 0.6}
    assert not [name for name in summary(whole) if "/" in name]
    rows = list(zip(*(column.cells for column in score_table([whole, few]).columns), strict=True))
    assert ("corruption/fog", "86.23", "86.60") in rows
    assert ("recalibrated/fog", "–", "60.00") in rows
    del whole.scores["corruption/snow"]
    (band,) = (names for names in BANDS.values() if "snow" in names)
    lone = {f"corruption/{name}" for name in {*GROUPS["weather"]} & {*band} - {"snow"}}
    assert {name for name in summary(whole) if "/" in name} == lone


def test_every_seed_stays_visible_beside_mean_and_deviation():
    records = [_record("jafr", clean=value) for value in (0.90, 0.92, 0.97)] + [_record("fgsm")]
    table = seed_table(records)
    assert table is not None
    method, name, spread, every = (list(column.cells) for column in table.columns)
    assert set(method) == {"jafr"}
    assert (name[0], spread[0], every[0]) == ("clean", "93.00 ± 3.61", "90.00  92.00  97.00")
    assert seed_table(records[2:]) is None


def test_seeds_are_of_equal_settings_and_of_distinct_weights():
    first, second = (_record("jafr", clean=value) for value in (0.90, 0.92))
    long = ModelScores({**second.about, "training": {"epochs": 30}}, second.scores)
    few = replace(second.scores["clean"], settings={"amp": True})
    other = ModelScores(second.about, second.scores | {"clean": few})
    assert seed_table([first, long]) is None
    assert seed_table([first, other]) is None
    assert seed_table([first, replace(first)]) is None
    table = seed_table([first, second, long])
    assert table is not None
    assert set(table.columns[0].cells) == {"jafr, epochs None"}
    headings = [column.header for column in score_table([first, long]).columns]
    assert headings[1:] == ["jafr, epochs None\nseed 0", "jafr, epochs 30\nseed 0"]


def test_a_number_that_one_seed_lacks_is_of_the_others():
    records = [_record("jafr", clean=0.9), _record("jafr", clean=0.8, pgd=0.5)]
    table = seed_table(records, _record("standard"))
    assert table is not None
    rows = dict(zip(*(list(column.cells) for column in table.columns[1::2]), strict=True))
    assert (rows["pgd"], rows["mCE (19)"]) == ("50.00", "95.84  95.84")


@pytest.mark.parametrize(
    ("fgsm", "pgd", "by_default", "by_stricter"),
    [(0.9, 0.0, True, True), (0.9, 0.1, True, False), (0.4, 0.0, True, False)],
)
def test_collapse_by_other_thresholds(fgsm, pgd, by_default, by_stricter):
    accuracies = {"clean": 0.5, "fgsm": fgsm, "pgd": pgd}
    assert catastrophic_overfitting(**accuracies) is by_default
    strict = catastrophic_overfitting(**accuracies, fgsm_share=1.0, pgd_below=0.01)
    assert strict is by_stricter


def test_shares_of_power_are_headline_numbers():
    record = _record("jafr")
    record.scores["fourier_sensitivity"] = _entry(low=0.5, middle=0.3, high=0.2)
    found = {name: v for name, v in summary(record).items() if name.startswith("power")}
    assert found == {
        "power (low radii)": 0.5,
        "power (middle radii)": 0.3,
        "power (high radii)": 0.2,
    }
