import json

import pytest
import torch
from study.corruption_bias import BEGIN, END, PAGE, corruption_bias, markdown, replaced

from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.results.paper import CORRUPTION_LOG_B_LOW
from tests.evaluation.corruptions.pictures import pictures


def test_noise_is_nearly_white_and_fog_far_from_it():
    images = LabelledImages((pictures(12) * 255).round().byte(), torch.zeros(12).long(), ("any",))
    assert corruption_bias(images, "gaussian_noise", 3, 0) == pytest.approx(3.6, abs=0.2)
    assert corruption_bias(images, "fog", 3, 0) > 10


def test_the_table_says_how_far_off_it_is():
    table = markdown(
        {name: [bias] * 4 + [bias + 1] for name, bias in CORRUPTION_LOG_B_LOW.items()}, 12, 0
    )
    assert "| fog | 12.85 | 12.85 | 12.85 | 12.85 | 13.85 | 13.05 | 12.85 | +0.20 |" in table
    assert "rank correlation 1.000; the largest difference, +0.20" in table


def test_only_the_table_is_replaced():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_the_page_shows_the_stored_figures():
    record = json.loads(PAGE.with_suffix(".json").read_text())
    conditions, biases = record["settings"], record["log_b_low"]
    table = markdown(biases, conditions["images"], conditions["seed"])
    assert replaced(PAGE.read_text(), table) == PAGE.read_text()
