"""Two and three processes have the results of one: every score, profile and file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from freqreg.evaluation import evaluate, load_images
from freqreg.evaluation.inputs.models import build_network
from freqreg.evaluation.results.records import ModelScores
from tests.evaluation import shared_work
from tests.evaluation.shared_work import IMAGES, SETTINGS, Net
from tests.processes import fork


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one, two and three processes leave of the same work."""
    folder = tmp_path_factory.mktemp("shared")
    kwargs = {"num_classes": 4, "image_size": 16}
    network = build_network("one_conv", **kwargs)
    (folder / "model").mkdir()
    save_file(network.state_dict(), folder / "model" / "model.safetensors")
    config = {"model": "one_conv", "kwargs": kwargs}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    pixels = torch.rand(IMAGES, 3, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    pixels = (pixels * 200 + torch.rand(IMAGES, 3, 16, 16) * 55).byte()
    labels = Net(0).eval()(pixels / 255).argmax(1)
    save_file({"pixels": pixels, "labels": labels}, folder / "test.safetensors")
    several = [
        fork(shared_work.one_of, count, rank, folder) for count in (2, 3) for rank in range(count)
    ]
    found = shared_work.work(folder, folder / "1")
    (folder / "1" / "rank-0.json").write_text(json.dumps(found))
    for process in several:
        process.join()
    assert [process.exitcode for process in several] == [1, 9, 1, 9, 9]
    return folder


@pytest.fixture(scope="module", params=[(2, 0), (2, 1), (3, 0), (3, 2)], ids=str)
def rank(request: pytest.FixtureRequest, folder: Path) -> tuple[Any, Any, int]:
    """What one process has, what a process of several has, and how many they were."""
    count, rank = request.param
    read = (folder / place for place in ("1/rank-0.json", f"{count}/rank-{rank}.json"))
    return *(json.loads(path.read_text()) for path in read), count


def _same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            _same(found[name], value)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            _same(one, other)
    else:
        is_number = isinstance(expected, float)
        assert found == (pytest.approx(expected, 1e-6, 1e-6) if is_number else expected)


def test_every_process_has_the_scores_of_one_alone(rank):
    expected, found, _ = rank
    for part in ("scores", "about", "few", "stored"):
        _same(found[part], expected[part])


def test_unequal_shares_are_all_the_images(folder):
    ranks = [json.loads((folder / f"3/rank-{n}.json").read_text()) for n in range(3)]
    assert [len(each["rows"]) for each in ranks] == [34, 34, 33]
    assert sorted(row for each in ranks for row in each["rows"]) == list(range(IMAGES))


@pytest.mark.parametrize("count", [2, 3])
def test_the_first_process_leaves_the_files_of_one_alone(folder, count):
    alone, several = folder / "1", folder / str(count)
    for name in ("profile/profile.json", "profile/heat-maps.json"):
        _same(*(json.loads((place / name).read_text()) for place in (several, alone)))
    (kept,) = several.rglob("*.portrait.safetensors")
    spectra = load_file(kept), load_file(alone / kept.relative_to(several))
    torch.testing.assert_close(*spectra, rtol=1e-5, atol=1e-7)
    names = [{f.relative_to(p) for f in p.rglob("*.*")} for p in (several, alone)]
    assert {f for f in names[0] if not f.name.startswith(("rank", "killed"))} == names[1] - {
        Path("rank-0.json")
    }
    made = [np.load(place / "made" / "fog.npy") for place in (several, alone)]
    np.testing.assert_array_equal(*made)
    records = [ModelScores.load(place / "scores.json") for place in (several, alone)]
    assert [*records[0].scores] == [*records[1].scores]
    for name, entry in records[1].scores.items():
        assert records[0].scores[name].settings == entry.settings


@pytest.mark.parametrize("count", [2, 3])
def test_one_that_fails_tells_the_others(folder, count):
    ranks = [json.loads((folder / f"{count}/rank-{n}.json").read_text()) for n in range(count)]
    (*others, failed), (first, *rest) = zip(*(rank["ends"] for rank in ranks), strict=True)
    for (name, message), found, told, who in (
        (failed, "NaN", others, count - 1),
        (first, "labels span 7 to 7", rest, 0),
    ):
        assert name == "InputError"
        assert found in message
        for other, message in told:
            assert other == "ProcessError"
            assert f"Process {who} of {count} has failed" in message
            assert found in message


def test_what_was_finished_before_a_kill_is_kept(folder):
    scores = Net(0).eval(), load_images(folder / "test.safetensors")
    record = ModelScores.load(folder / "2" / "killed.json")
    assert {"noise", "fgsm"} <= record.scores.keys()
    kept = evaluate(
        *scores, ["noise", "fgsm", "pgd"], settings=SETTINGS, file=folder / "2" / "killed.json"
    )
    assert kept.scores["noise"] == record.scores["noise"]
    _same(kept.value("pgd"), evaluate(*scores, ["pgd"], settings=SETTINGS).value("pgd"))
