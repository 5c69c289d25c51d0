import json

import pytest
import torch
from study import saving
from study.corruption_bias import BEGIN, END, PAGE, corruption_bias, markdown, replaced

from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from tests.evaluation.corruptions.pictures import pictures


def test_noise_is_nearly_white_and_fog_far_from_it():
    images = LabelledImages((pictures(12) * 255).round().byte(), torch.zeros(12).long(), ("any",))
    assert corruption_bias(images, "gaussian_noise", 3, 0) == pytest.approx(3.6, abs=0.2)
    assert corruption_bias(images, "fog", 3, 0) > 10
    saved = corruption_bias(images, "gaussian_noise", 3, 0, "jpeg85")
    assert saved > corruption_bias(images, "gaussian_noise", 3, 0) + 0.1


def test_the_table_says_how_far_off_it_is():
    table = markdown(
        {name: [bias] * 4 + [bias + 1] for name, bias in CORRUPTION_LOG_B_LOW.items()}, 12, 0
    )
    assert "| fog | 12.85 | 12.85 | 12.85 | 12.85 | 13.85 | 13.05 | 12.85 | +0.20 |" in table
    assert "rank correlation 1.000; the largest difference, +0.20" in table


def test_only_the_table_is_replaced():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n<!-- other -->\nold\n{END}\n"
    new, other = (
        page.replace(f"{at}\nold\n", f"{at}\n\nnew\n\n") for at in (BEGIN, "<!-- other -->")
    )
    assert replaced(page, "new") == new
    assert replaced(page, "new", "<!-- other -->") == other


def test_the_page_shows_the_stored_figures():
    record = json.loads(PAGE.with_suffix(".json").read_text())
    conditions, biases = record["settings"], record["log_b_low"]
    table = markdown(biases, conditions["images"], conditions["seed"])
    assert replaced(PAGE.read_text(), table) == PAGE.read_text()


def test_the_page_shows_what_saving_changed():
    record = json.loads(PAGE.with_name("corruptions-saved.json").read_text())
    table = saving.markdown(record["log_b_low"], record["accuracy"])
    assert replaced(PAGE.read_text(), table, saving.BEGIN) == PAGE.read_text()
