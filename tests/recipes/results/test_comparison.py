"""The demo's table and picture."""

import numpy as np
from recipe.results.comparison import HEAD, Model, comparison_figure

MODELS = [
    Model(
        method,
        dict(zip("lchp", accuracies, strict=True)),
        9.46,
        bands,
        np.eye(23)[at].tolist(),
        0.1,
    )
    for method, accuracies, bands, at in (
        ("standard", (0.5, 0.8, 0.6, 0.1), {"low": 0.25, "middle": 0.5, "high": 0.25}, 7),
        ("fourier-low", (0.4, 0.7, 0.65, 0.2), {"low": 1.0, "middle": 0.0, "high": 0.0}, 2),
    )
]


def test_a_row_has_what_its_head_says() -> None:
    row = dict(zip(HEAD, MODELS[0].row(), strict=True))
    assert row["method"] == "standard"
    assert (row["clean %"], row["PGD %"], row["log B_low"]) == ("80.0", "10.0", "9.5")
    assert row["low-frequency\nnoise %"] == "50.0"
    assert row["high-frequency\nnoise %"] == "60.0"
    assert row["low / middle / high\nradii, % of power"] == "25 / 50 / 25"


def test_a_model_has_one_style_in_both_panels() -> None:
    left, right = comparison_figure(MODELS).axes
    for place, model in enumerate(MODELS):
        of_power, of_accuracy = left.lines[place], right.lines[place]
        assert np.allclose(np.asarray(of_power.get_ydata()), 100 * np.asarray(model.shares))
        accuracies = list(model.accuracies.values())[:3]
        assert np.allclose(np.asarray(of_accuracy.get_ydata()), 100 * np.asarray(accuracies))
        for look in ("color", "marker", "linestyle"):
            assert getattr(of_power, f"get_{look}")() == getattr(of_accuracy, f"get_{look}")()
