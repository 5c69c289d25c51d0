import math
from dataclasses import replace

import pytest

from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.report.blocks import Table, TableCell
from freqreg.evaluation.report.conditions import condition_table, missing_lines, version_lines
from freqreg.evaluation.report.figures import curves
from freqreg.evaluation.report.groups import Group, grouped, with_published
from freqreg.evaluation.report.numbers import ATTACKS, RELATIVE
from freqreg.evaluation.report.runs import read_runs
from freqreg.evaluation.report.tables import (
    attack_table,
    bias_table,
    cell,
    corruption_table,
    number,
    seed_tables,
    signed,
)
from freqreg.evaluation.report.tradeoff import comparisons, correlation, tradeoff_table
from freqreg.evaluation.results.records import ModelScores
from tests.evaluation.report.reported import save_results, save_run, scores_of_the_paper

CLEAN, _, PGD, *_ = ATTACKS


def groups_in(folder, *, published: bool = False) -> list[Group]:
    own = grouped(read_runs([folder]))
    return with_published(own, "cifar10") if published else own


def column(table: Table, title: str) -> dict[str, TableCell]:
    place = table.head.index(title)
    return {row[0].text: row[place] for row in table.rows if len(row) > 1}


def test_a_cell_has_our_spread_the_paper_s_and_the_difference(tmp_path):
    for seed, accuracy in enumerate((0.90, 0.92, 0.94)):
        save_run(tmp_path, "standard", seed, scores={"clean": {"accuracy": accuracy}})
    (group,) = groups_in(tmp_path)
    found = cell(group, CLEAN, "cifar10")
    assert (found.text, found.aside, found.below) == (
        "92.00 ± 2.00",
        "−1.11",
        "paper 93.11 ± 0.20",
    )
    assert found.share == pytest.approx(0.92)
    assert found.mark == pytest.approx(0.9311)


def test_a_single_run_has_no_deviation_and_a_gap_is_told(tmp_path):
    save_run(tmp_path, "standard", 0, scores={"clean": {"accuracy": 0.9}, "pgd": {"accuracy": 0.1}})
    (group,) = groups_in(tmp_path)
    assert cell(group, CLEAN, "photos") == TableCell("90.00", share=0.9)
    save_run(tmp_path, "standard", 1, scores={"clean": {"accuracy": 0.9}})
    (group,) = groups_in(tmp_path)
    assert cell(group, PGD, "photos").text == "10.00 (1 of 2)"


def test_attacks_of_another_radius_are_not_set_beside_the_paper_s(tmp_path):
    scores = {"clean": {"accuracy": 0.9}, "pgd": {"accuracy": 0.5}}
    save_run(tmp_path, "pgd", 0, scores=scores, settings=EvaluationSettings(eps=4 / 255))
    (group,) = groups_in(tmp_path)
    assert cell(group, CLEAN, "cifar10").below
    assert cell(group, PGD, "cifar10") == TableCell("50.00", share=0.5)


def test_standard_training_of_the_nearest_settings_is_what_numbers_are_relative_to(tmp_path):
    for method, off in (("standard", 0.0), ("jafr", 0.01)):
        scores = scores_of_the_paper(method, off=off)
        save_run(tmp_path, method, 0, scores=scores, epochs=30)
        save_run(tmp_path, method, 1, scores=scores_of_the_paper("fgsm"), epochs=1)
    by_label = {group.label: group.numbers["mCE (19)"].item() for group in groups_in(tmp_path)}
    assert by_label["standard, epochs 30"] == pytest.approx(100)
    assert by_label["JaFR, epochs 1"] == pytest.approx(100)


def test_figures_in_doubt_are_marked(tmp_path):
    save_run(tmp_path, "pgd", 0, scores=scores_of_the_paper("pgd"))
    groups = groups_in(tmp_path, published=True)
    mce = [row for row in corruption_table(groups, "cifar10").rows if row[0].text == "mCE (19)"]
    assert [c.below for c in mce[0][1:] if c.below.endswith("†")] == [
        "paper 134.37†",
        "paper 135.71†",
    ]


@pytest.mark.parametrize(
    ("value", "plain", "difference"),
    [
        (1.234, "1.23", "+1.23"),
        (-0.5, "−0.50", "−0.50"),
        (-0.001, "0.00", "+0.00"),
        (None, "–", "–"),
    ],
)
def test_numbers_have_true_minus_signs_and_no_negative_zero(value, plain, difference):
    assert number(value, 2) == plain
    assert signed(value, 2) == difference


def test_methods_that_only_the_paper_has_stand_beside(tmp_path):
    save_run(tmp_path, "standard", 0, scores=scores_of_the_paper("standard"))
    table = attack_table(groups_in(tmp_path, published=True), "cifar10")
    assert table.head == ("", "clean", "FGSM", "PGD", "collapsed")
    pgd = column(table, "PGD")
    assert pgd["standard"].text == "0.00"
    assert (pgd["PGD AT"].text, pgd["PGD AT"].aside) == ("–", "")
    assert pgd["PGD AT"].below == "paper 49.63 ± 0.20"
    assert "FGSM AT + JaFR(-)" in pgd


def test_the_published_rule_of_pgd_has_the_paper_s_figure_where_it_alone_was_measured(tmp_path):
    save_run(tmp_path, "pgd", 0, scores={"pgd-max-loss": {"accuracy": 0.5}})
    table = attack_table(groups_in(tmp_path, published=True), "cifar10")
    assert "PGD" not in table.head
    assert column(table, "PGD, published rule")["PGD AT"].aside == "+0.37"


def test_collapse_is_counted_over_seeds(tmp_path):
    def scores(pgd):
        return {"clean": {"accuracy": 0.8}, "fgsm": {"accuracy": 0.9}, "pgd": {"accuracy": pgd}}

    for seed, pgd in enumerate((0.0, 0.5, 0.01)):
        save_run(tmp_path, "fgsm", seed, scores=scores(pgd))
    save_run(tmp_path, "pgd", 0, scores=scores(0.5))
    save_run(tmp_path, "jafr", 0)
    collapsed = column(attack_table(groups_in(tmp_path), "photos"), "collapsed")
    assert collapsed["FGSM AT"] == TableCell("2 of 3", is_strong=True)
    assert collapsed["PGD AT"] == TableCell("no")
    assert collapsed["JaFR"] == TableCell()


def test_costs_are_relative_to_standard_training(tmp_path):
    save_results(tmp_path / "a", "standard")
    results = save_results(tmp_path / "b", "jafr")
    results.write_text(
        results.read_text().replace('"seconds_per_step": 0.25', '"seconds_per_step": 0.6')
    )
    costs = [group.numbers[RELATIVE.title].item() for group in groups_in(tmp_path)]
    assert costs == [1.0, pytest.approx(2.4)]
    (alone,) = groups_in(tmp_path / "b")
    assert math.isnan(alone.numbers[RELATIVE.title].item())


def test_biases_of_all_quadrants_beside_the_one_of_the_paper(tmp_path):
    parts = {"one quadrant": 2.0, "flipped": 3.0, "both quadrants": 2.5}
    save_run(tmp_path, "standard", 0, scores={"log_b_low": parts})
    table = bias_table(groups_in(tmp_path), "cifar10")
    ((_, one, flipped, both),) = table.rows
    assert (one.text, one.aside, one.below, one.share) == ("2.00", "+0.44", "paper 1.56", None)
    assert (flipped, both) == (TableCell("3.00"), TableCell("2.50"))


def test_corruptions_stand_from_low_to_high_frequencies(tmp_path):
    for method in ("standard", "jafr"):
        save_run(tmp_path, method, 0, scores=scores_of_the_paper(method))
    table = corruption_table(groups_in(tmp_path), "cifar10")
    names = [row[0].text for row in table.rows]
    mces = ["mCE", "mCE, unnormalised", "mCE (19)"]
    assert names[:6] == ["clean", *mces, "mean of all 19", "mean of the main 15"]
    assert names[7] == "fog"
    assert names[-1] == "gaussian noise"
    assert len(names) == 6 + 3 + 19
    assert table.rows[7][0].below == "log B_low 12.85"
    mce = column(table, "JaFR")["mCE (19)"]
    assert (mce.text, mce.aside, mce.below) == ("95.84", "+0.00", "paper 95.84")


def test_mce_needs_standard_training(tmp_path):
    save_run(tmp_path, "jafr", 0, scores=scores_of_the_paper("jafr"))
    assert column(corruption_table(groups_in(tmp_path), "cifar10"), "JaFR")["mCE (19)"].text == "–"


def test_mce_is_relative_to_standard_training_that_was_measured_alike(tmp_path):
    saved = EvaluationSettings(saved_as="jpeg85")
    save_run(tmp_path, "standard", 0, scores=scores_of_the_paper("standard"))
    save_run(tmp_path, "standard", 1, scores=scores_of_the_paper("fgsm"), settings=saved)
    save_run(tmp_path, "jafr", 0, scores=scores_of_the_paper("jafr"))
    save_run(tmp_path, "jafr-", 0, scores=scores_of_the_paper("fgsm"), settings=saved)
    table = corruption_table(groups_in(tmp_path), "cifar10")
    assert column(table, "JaFR")["mCE (19)"].text == "95.84"
    assert column(table, "JaFR(-)")["mCE (19)"].text == "100.00"
    settings = {row[1].text for row in condition_table(groups_in(tmp_path)).rows}
    assert sum("saved as jpeg85" in text for text in settings) == 1
    assert not any("saved as all" in text for text in settings)


def test_nothing_measured_is_no_table(tmp_path):
    save_run(tmp_path, "jafr", 0)
    groups = groups_in(tmp_path, published=True)
    assert corruption_table(groups, "cifar10").rows == ()
    assert bias_table(groups, "cifar10").rows == ()


def test_every_seed_is_printed(tmp_path):
    for seed, accuracy in enumerate((0.1, 0.2, 0.3)):
        save_run(tmp_path, "jafr", seed, scores={"clean": {"accuracy": accuracy}})
    (table,) = seed_tables(groups_in(tmp_path))
    assert [[c.text for c in row] for row in table.rows] == [
        ["JaFR"],
        ["seed 0", "10.00"],
        ["seed 1", "20.00"],
        ["seed 2", "30.00"],
    ]


def test_changes_of_accuracy_are_set_beside_the_paper_s(tmp_path):
    save_run(tmp_path, "standard", 0, scores=scores_of_the_paper("standard"))
    save_run(tmp_path, "jafr", 0, scores=scores_of_the_paper("jafr", off=0.01))
    (comparison,) = comparisons(groups_in(tmp_path), "cifar10")
    assert (comparison.method, comparison.baseline) == ("JaFR", "standard")
    ours, paper = (comparison.changes[column] for column in comparison.changes)
    assert ours["fog"] == pytest.approx(86.60 - 86.23 + 1)
    assert paper["fog"] == pytest.approx(86.60 - 86.23)
    assert correlation(ours) == pytest.approx(correlation(paper))
    ((head, noise, *_, all_of_them, _),) = tradeoff_table([comparison]).rows
    assert head.below == "minus standard"
    assert noise == TableCell("+5.13", below="paper +4.13")
    assert all_of_them == TableCell("−0.69", below="paper −0.69")


def test_a_method_without_its_baseline_or_corruptions_is_not_compared(tmp_path):
    save_run(tmp_path, "jafr", 0, scores=scores_of_the_paper("jafr"))
    save_run(tmp_path, "fgsm", 0)
    save_run(tmp_path, "fgsm+jafr", 0, scores=scores_of_the_paper("fgsm+jafr"))
    assert comparisons(groups_in(tmp_path), "cifar10") == []


def _curve(*points: tuple[float, float, float]) -> dict[str, dict[str, float]]:
    accuracies = {f"accuracy at {eps:.6f}": accuracy for eps, accuracy, _ in points}
    return {"curve": accuracies | {f"loss at {eps:.6f}": loss for eps, _, loss in points}}


def test_curves_go_on_at_zero_accuracy_and_end_with_the_known_loss(tmp_path):
    save_run(tmp_path, "jafr", 0, scores=_curve((0, 0.8, 0.5), (0.25, 0.0, 3.0)))
    save_run(tmp_path, "jafr", 1, scores=_curve((0, 0.6, 0.7), (0.25, 0.4, 1.0), (0.5, 0.2, 2.0)))
    groups = groups_in(tmp_path)
    accuracy = curves(groups, "accuracy")["JaFR"]
    assert list(accuracy.index) == [0.0, 0.25, 0.5]
    assert list(accuracy) == pytest.approx([0.7, 0.2, 0.1])
    *known, unknown = curves(groups, "loss")["JaFR"]
    assert known == pytest.approx([0.6, 2.0])
    assert math.isnan(unknown)


def test_a_curve_that_was_cut_off_is_not_made_up(tmp_path):
    save_run(tmp_path, "jafr", 0, scores=_curve((0, 0.8, 0.5), (0.25, 0.1, 3.0)))
    save_run(tmp_path, "fgsm", 0, scores=_curve((0.5, 0.3, 2.0)))
    found = curves(groups_in(tmp_path), "accuracy")
    assert math.isnan(found["JaFR"][0.5])
    assert found["FGSM AT"][0.5] == 0.3


def test_conditions_are_beside_the_paper_s(tmp_path):
    scores = {"pgd": {"accuracy": 0.5}, "curve": {"accuracy at 0.0": 0.5}}
    few = EvaluationSettings(attack_steps=20, attacked_images=400, curve_steps=7)
    save_run(tmp_path, "jafr", 0, scores=scores, settings=few)
    pgd, curve = condition_table(groups_in(tmp_path)).rows
    assert pgd[1].text == (
        "eps 8/255, seed 0, attacked images 400 (paper all), attack steps 20 (paper 50), "
        "attack restarts 10"
    )
    assert (pgd[2].text, pgd[3].text) == ("400", "± 4.9")
    assert "paper" not in curve[1].text


def test_what_is_no_accuracy_has_no_sampling_error(tmp_path):
    shares = {"low": 0.5, "middle": 0.25, "high": 0.25}
    save_run(tmp_path, "jafr", 0, scores={"fourier_sensitivity": shares})
    (row,) = condition_table(groups_in(tmp_path)).rows
    assert [cell.text for cell in row] == ["shares of power", "profiled images 1000", "1,000", "–"]


def test_runs_under_different_conditions_are_told_apart(tmp_path):
    save_run(tmp_path, "jafr", 0, scores={"pgd": {"accuracy": 0.5}})
    few = EvaluationSettings(attack_steps=20)
    save_run(tmp_path, "fgsm", 0, scores={"pgd": {"accuracy": 0.5}}, settings=few)
    rows = condition_table(groups_in(tmp_path)).rows
    assert [row[0].below for row in rows] == ["JaFR", "FGSM AT"]


def test_digests_of_what_was_measured_with_are_no_settings(tmp_path):
    for seed in range(2):
        path = save_run(tmp_path, "jafr", seed, scores={"transfer": {"accuracy": 0.5}})
        record = ModelScores.load(path)
        settings = {**record.scores["transfer"].settings, "transfer_weights": f"of{seed}"}
        record.scores["transfer"] = replace(record.scores["transfer"], settings=settings)
        record.save(path)
    (row,) = condition_table(groups_in(tmp_path)).rows
    assert "weights" not in row[1].text


def test_what_is_missing_is_named(tmp_path):
    save_run(tmp_path, "standard", 0, scores=scores_of_the_paper("standard"), portrait=True)
    save_run(tmp_path, "standard", 1, scores={"clean": {"accuracy": 0.9}})
    save_run(tmp_path, "jafr", 0, scores=scores_of_the_paper("jafr"))
    lines = missing_lines(groups_in(tmp_path, published=True))
    assert "PGD: standard (1 of 2)" in lines
    assert "CW: all" in lines
    assert "spectra and pictures of J: JaFR" in lines
    assert not any(line.startswith("clean") for line in lines)
    assert lines[-1].startswith("methods of the paper: FGSM AT, ")


def test_versions_are_printed_once(tmp_path):
    for seed in range(2):
        save_run(tmp_path, "jafr", seed)
    assert version_lines(groups_in(tmp_path)) == ("device cpu, torch 2.14",)
