"""Each score is what it says, and an evaluation goes on where it stopped."""

import dataclasses
import hashlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.attacks.base import AttackWarning
from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack
from freqreg.evaluation.attacks.robustness_curve import RADII, robustness_curve
from freqreg.evaluation.benchmark.evaluate import evaluate
from freqreg.evaluation.benchmark.scores import SCORES, Score, score_names
from freqreg.evaluation.benchmark.settings import PRESETS, EvaluationSettings
from freqreg.evaluation.benchmark.task import EvaluationTask
from freqreg.evaluation.corruptions import CORRUPTIONS, corrupt
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel, Normalized
from freqreg.evaluation.metrics.accuracy import accuracy
from freqreg.evaluation.metrics.calibration import expected_calibration_error
from freqreg.evaluation.metrics.filtered_noise import band_noise, sign_noise
from freqreg.evaluation.metrics.recalibration import recalibrated
from freqreg.evaluation.results.records import ModelScores, RecordError
from freqreg.frequency_bias import log_low_frequency_bias
from freqreg.spectrum import magnitude_spectrum
from tests.evaluation.victims import Overflowing

SETTINGS = EvaluationSettings(
    eps=0.01,
    batch_size=16,
    fgsm_images=30,
    attack_steps=3,
    attack_restarts=2,
    attacked_images=20,
    curve_steps=3,
    curve_images=20,
    profiled_images=24,
    corrupted_images=12,
)


class _Net(nn.Module):
    """Small, with batch norm, for 16 × 16 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6, momentum=0.3)
        self.head = nn.Linear(6 * 16 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).relu().flatten(1))


def _pixels(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8)


@pytest.fixture
def task() -> EvaluationTask:
    model, images = _Net().eval(), _pixels(40)
    test = LabelledImages(images, model(images / 255).argmax(1))
    train = LabelledImages(_pixels(64), torch.zeros(64, dtype=torch.int64))
    return EvaluationTask(model, test, 10, _Net().eval(), train)


def _measured(name: str, task: EvaluationTask, settings: EvaluationSettings = SETTINGS):
    return SCORES[name].measure(task, settings)


def test_clean(task):
    numbers = _measured("clean", task)
    logits = task.model(task.test.pixels / 255)
    assert numbers["accuracy"] == 1.0
    assert_close(numbers["loss"], F.cross_entropy(logits.double(), task.test.labels).item())
    assert_close(numbers["ece"], expected_calibration_error(logits, task.test.labels))


def test_a_model_that_answers_nan_is_refused(task):
    """Clean images only: under an attack it errs."""
    broken = Overflowing(task.model, task.test.pixels[:30] / 255).eval()
    with pytest.raises(InputError, match=r"answers 10 of 40 clean images with NaN"):
        _measured("clean", dataclasses.replace(task, model=broken))
    first = task.test.first(30)
    points = robustness_curve(broken, first.pixels, first.labels, attack=PGDAttack())
    assert [point.accuracy for point in points] == [1.0, 0.0]


@pytest.mark.parametrize("name", ["noise", "corruption/fog"])
def test_nan_is_looked_for_in_every_batch(task, name):
    """Here all images are changed, and so all of each batch are answered with NaN."""
    broken = Overflowing(task.model, task.test.pixels / 255).eval()
    settings = dataclasses.replace(SETTINGS, batch_size=8)
    with pytest.raises(InputError, match=r"answers 8 of 8 images of .* with NaN"):
        _measured(name, dataclasses.replace(task, model=broken), settings)


@pytest.mark.parametrize(
    ("name", "attack", "count"),
    [
        ("fgsm", FGSMAttack(0.01), 30),
        ("pgd", PGDAttack(0.01, 3, restarts=2), 20),
        ("pgd-max-loss", PGDAttack(0.01, 3, restarts=2, select="max-loss"), 20),
        ("cw", PGDAttack(0.01, 3, restarts=2, loss="margin"), 20),
    ],
)
def test_attacks(task, name, attack, count):
    expected = attack.run(task.model, task.test.pixels[:count], task.test.labels[:count]).accuracy
    assert _measured(name, task) == {"accuracy": expected, "zero gradient": 0.0}
    assert expected < 1


def test_transfer(task):
    images, labels = task.test.pixels[:20], task.test.labels[:20]
    attacked = PGDAttack(0.01, 3, restarts=1).run(task.transfer_source, images, labels)
    assert _measured("transfer", task) == {
        "accuracy": accuracy(task.model, attacked.images, labels),
        "accuracy of the source": attacked.accuracy,
        "zero gradient of the source": 0.0,
    }


def test_noise(task):
    expected = {
        "low": band_noise(task.test.pixels, "low", rms=0.1),
        "high": band_noise(task.test.pixels, "high", rms=0.1),
        "sign": sign_noise(task.test.pixels, 0.01),
    }
    numbers = _measured("noise", task)
    for part, images in expected.items():
        assert_close(numbers[part], accuracy(task.model, images, task.test.labels))


def test_log_b_low(task):
    x = (task.test.pixels[:24] / 255).requires_grad_()
    loss = F.cross_entropy(task.model(x), task.test.labels[:24])
    (gradient,) = torch.autograd.grad(loss, x)
    spectra = {
        "one quadrant": magnitude_spectrum(gradient),
        "flipped": magnitude_spectrum(gradient.flip(-1)),
        "both quadrants": magnitude_spectrum(gradient, quadrants=2),
    }
    numbers = _measured("log_b_low", task)
    for part, spectrum in spectra.items():
        assert_close(numbers[part], log_low_frequency_bias(spectrum).item(), rtol=1e-4, atol=0)


def test_corruptions(task):
    numbers = _measured("corruption/fog", task)
    assert list(numbers) == ["1", "2", "3", "4", "5"]
    for severity in (1, 5):
        images = corrupt(task.test.pixels[:12], "fog", severity)
        expected = accuracy(task.model, images, task.test.labels[:12])
        assert_close(numbers[str(severity)], expected)


def test_recalibrated_corruptions(task):
    numbers = _measured("recalibrated/fog", task)
    model = recalibrated(task.model, task.train_images.pixels, batch_size=64)
    images = corrupt(task.test.pixels[:12], "fog", 3)
    assert_close(numbers["3"], accuracy(model, images, task.test.labels[:12]))


def test_recalibration_takes_the_train_images_statistics_and_touches_nothing(task):
    model, images = task.model, task.train_images.pixels
    model.norm.weight.data.fill_(2.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    copy = recalibrated(model, images, batch_size=32)
    features = model.conv(images / 255)
    assert_close(copy.norm.running_mean, features.mean((0, 2, 3)))
    halves = features.unflatten(0, (2, 32)).var((1, 3, 4))
    assert_close(copy.norm.running_var, halves.mean(0))
    assert copy.norm.momentum == model.norm.momentum == 0.3
    assert not any(part.training for part in copy.modules())
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_recalibration_needs_norms_and_a_batch(task):
    with pytest.raises(InputError, match="has no batch norm"):
        recalibrated(nn.Flatten().eval(), task.train_images.pixels, batch_size=64)
    with pytest.raises(InputError, match="64 images for batches of 65"):
        recalibrated(task.model, task.train_images.pixels, batch_size=65)
    with pytest.raises(InputError, match="training mode"):
        recalibrated(task.model.train(), task.train_images.pixels)


def test_calibration_error_of_known_bins():
    confidence = torch.tensor([0.9, 0.9, 0.6, 0.6])
    logits = torch.stack([confidence, 1 - confidence], 1).log()
    labels = torch.tensor([0, 1, 0, 0])
    assert_close(expected_calibration_error(logits, labels, bins=10), (0.4 + 0.4) / 2)


def test_the_curve_ends_where_no_image_is_left(task):
    images, labels = task.test.pixels, task.test.labels
    attack = PGDAttack(steps=5, restarts=1)
    points = robustness_curve(task.model, images, labels, attack=attack)
    assert points[0].eps == 0
    assert points[0].accuracy == 1
    assert points[-1].accuracy == 0
    assert all(point.accuracy > 0 for point in points[:-1])
    assert [point.eps for point in points] == list(RADII[: len(points)])
    middle = points[len(points) // 2]
    attacked = PGDAttack(middle.eps, 5, restarts=1).run(task.model, images, labels)
    logits = task.model(attacked.images)
    assert_close(middle.accuracy, attacked.accuracy)
    assert_close(middle.loss, F.cross_entropy(logits, labels).item(), rtol=1e-5, atol=0)


def test_the_curve_of_a_constant_model_goes_to_the_whole_range():
    head = nn.Linear(3 * 16 * 16, 3)
    nn.init.zeros_(head.weight)
    with pytest.warns(AttackWarning, match="exactly zero"):
        points = robustness_curve(
            nn.Sequential(nn.Flatten(), head).eval(),
            torch.rand(4, 3, 16, 16),
            torch.full((4,), int(head.bias.argmax())),
            attack=PGDAttack(steps=1, restarts=1),
        )
    assert points[-1].eps == 1.0
    assert points[-1].accuracy == 1.0


def test_scores_are_written_as_curve_points(task):
    numbers = _measured("curve", task)
    assert numbers["accuracy at 0.000000"] == 1.0
    assert f"loss at {1 / 255:.6f}" in numbers


def test_autoattack_and_square_are_called(task, monkeypatch):
    seen = []

    def keep(self, x: Tensor, y: Tensor) -> Tensor:
        seen.append(len(x))
        return x

    for name in ("APGDAttack", "APGDAttack_targeted", "FABAttack_PT", "SquareAttack"):
        monkeypatch.setattr(f"pyautoattack.autoattack.{name}.perturb", keep)
    assert _measured("autoattack", task) == {"accuracy": 1.0}
    assert seen == 4 * [16, 4]
    assert _measured("square", task) == {"accuracy": 1.0}
    assert seen == 5 * [16, 4]


QUICK = ["clean", "fgsm", "corruption/contrast"]


def _loaded(task: EvaluationTask) -> LoadedModel:
    config = {"method": "jafr", "seed": 2, "settings": {"epochs": 30}}
    return LoadedModel("runs/a", task.model, config)


def _evaluate(task: EvaluationTask, scores, settings=SETTINGS, **how: Any) -> ModelScores:
    more = {"transfer_source": task.transfer_source, "train_images": task.train_images}
    return evaluate(_loaded(task), task.test, scores, settings=settings, **more | how)


def test_an_evaluation_is_kept_with_what_produced_it(task, tmp_path):
    told = []
    path = tmp_path / "a.json"
    record = _evaluate(task, QUICK, file=path, report=lambda name, _: told.append(name))
    assert ModelScores.load(path) == record
    assert told == list(record.scores) == QUICK
    assert record.about["training_seed"] == 2
    assert record.about["training"] == {"epochs": 30}
    assert record.about["images"] == 40
    entry = record.scores["fgsm"]
    assert entry.settings == {"eps": 0.01, "fgsm_images": 30}
    assert {"freqreg", "torch", "python", "device"} <= set(entry.versions)
    assert entry.seconds >= 0


def test_a_function_is_refused(task, unchecked_shapes):
    function: Any = task.model.forward
    with pytest.raises(InputError, match=r"of type method; needed is a torch\.nn\.Module"):
        evaluate(function, task.test, QUICK, preset="smoke")


def test_a_module_is_evaluated_as_it_is_and_in_any_mode_of_autograd(task):
    record = evaluate(task.model, task.test, QUICK, preset="smoke")
    assert (record.model, record.value("clean")) == ("_Net", 1.0)
    with torch.inference_mode():
        made_there = dataclasses.replace(task.test, pixels=task.test.pixels.clone())
        again = evaluate(task.model, made_there, QUICK, preset="smoke")
    assert [e.values for e in again.scores.values()] == [e.values for e in record.scores.values()]


def test_an_evaluation_goes_on_where_it_stopped(task, tmp_path, monkeypatch):
    path, measured = tmp_path / "a.json", []

    def counted(name: str) -> Score:
        score = SCORES[name]

        def measure(task: EvaluationTask, settings: EvaluationSettings):
            if name == "corruption/contrast" and len(measured) == 2:
                measured.append("killed")
                raise KeyboardInterrupt
            measured.append(name)
            return score.measure(task, settings)

        return dataclasses.replace(score, measure=measure)

    for name in QUICK:
        monkeypatch.setitem(SCORES, name, counted(name))
    with pytest.raises(KeyboardInterrupt):
        _evaluate(task, QUICK, file=path)
    assert list(ModelScores.load(path).scores) == ["clean", "fgsm"]
    _evaluate(task, QUICK, file=path)
    assert measured == ["clean", "fgsm", "killed", "corruption/contrast"]
    other = dataclasses.replace(SETTINGS, eps=0.02)
    _evaluate(task, QUICK, other, file=path, replace=True)
    assert measured[4:] == ["fgsm"]
    task.model.head.bias.data += 1
    _evaluate(task, QUICK, file=path, replace=True)
    assert measured[5:] == QUICK


@pytest.mark.parametrize("score", ["recalibrated/fog", "transfer"])
def test_a_score_is_of_the_train_images_and_the_source_that_were_there(task, tmp_path, score):
    path = tmp_path / "a.json"
    first = _evaluate(task, [score], file=path)
    assert _evaluate(task, [score], file=path) == first
    train = LabelledImages(_pixels(64), torch.zeros(64, dtype=torch.int64))
    others = dataclasses.replace(task, transfer_source=_Net().eval(), train_images=train)
    with pytest.raises(RecordError, match=r"\((train_data|transfer_weights): \w+, now \w+\)"):
        _evaluate(others, [score], file=path)
    again = _evaluate(others, [score], file=path, replace=True)
    assert again.scores[score].settings != first.scores[score].settings


def test_a_score_that_does_not_say_what_it_was_measured_with_is_not_taken_for_new(task, tmp_path):
    """As records of before are: they are read, but not gone on with."""
    path = tmp_path / "a.json"
    record = _evaluate(task, ["transfer"], file=path)
    entry = record.scores["transfer"]
    before = {key: value for key, value in entry.settings.items() if key != "transfer_weights"}
    record.scores["transfer"] = dataclasses.replace(entry, settings=before)
    record.save(path)
    assert ModelScores.load(path) == record
    with pytest.raises(RecordError, match="transfer_weights: None, now"):
        _evaluate(task, ["transfer"], file=path)


def test_nothing_is_measured_where_earlier_scores_would_be_lost(task, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    _evaluate(task, ["fgsm"], file=path)
    kept = path.read_bytes()
    monkeypatch.setitem(SCORES, "clean", Score(lambda *_: pytest.fail("measured")))
    few = dataclasses.replace(task, test=task.test.select(range(9)))
    with pytest.raises(RecordError, match=r"images: 40, now 9.*--replace"):
        _evaluate(few, QUICK, file=path)
    weaker = dataclasses.replace(SETTINGS, fgsm_images=5)
    with pytest.raises(RecordError, match=r"has fgsm .* \(fgsm_images: 30, now 5\)"):
        _evaluate(task, QUICK, weaker, file=path)
    assert path.read_bytes() == kept


def test_a_record_is_of_the_normalisation_too(task):
    """Which is in no file of weights."""
    model = nn.Sequential(_Net(), nn.Linear(10, 10)).eval()
    normalized = [
        Normalized(model, mean, std).eval()
        for mean, std in ((0.5, 0.2), (0.5, 0.25), (0.4, 0.2), ([0.5] * 3, [0.2] * 3))
    ]
    weights = [evaluate(m, task.test, []).about["weights"] for m in (model, *normalized)]
    assert len(set(weights)) == 5
    assert weights[0] == _digest_of_a_file(model)


def _digest_of_a_file(model: nn.Module) -> str:
    """As records had it before; those of models without such buffers stay what they were."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def test_a_record_is_of_the_images_and_of_their_places(task):
    test = task.test
    moved = dataclasses.replace(test, index=test.index + 1)
    data = [evaluate(task.model, t, []).about["data"] for t in (test, moved, test.select(range(9)))]
    assert len(set(data)) == 3
    pixels, labels = (values.numpy().tobytes() for values in (test.pixels, test.labels))
    assert data[0] == hashlib.sha256(pixels + labels).hexdigest()[:16]  # as records had it before


def test_names_of_scores():
    assert score_names(["corruptions"]) == [f"corruption/{name}" for name in CORRUPTIONS]
    assert score_names(["clean", "fgsm", "clean"]) == ["clean", "fgsm"]
    assert score_names(["clean", "recalibrated"])[1] == f"recalibrated/{CORRUPTIONS[0]}"
    with pytest.raises(SettingError, match="did you mean autoattack"):
        score_names(["auto-attack"])
    with pytest.raises(SettingError, match="did you mean corruptions"):
        score_names(["corruption"])
    with pytest.raises(SettingError, match=r"known: corruption/gaussian_noise, .*saturate\.$"):
        score_names(["corruption/blur"])
    with pytest.raises(SettingError, match="known: clean"):
        score_names(["xyz"])


def test_all_settings_that_a_score_names_exist():
    for score in SCORES.values():
        assert set(score.settings(SETTINGS)) == set(score.depends)


@pytest.mark.parametrize(
    "wrong", [{"eps": 0.0}, {"noise_rms": float("nan")}, {"attack_steps": 0}, {"batch_size": -1}]
)
def test_settings_that_cannot_be_meant(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        EvaluationSettings(**wrong)


def test_an_unknown_preset_is_refused(task, unchecked_shapes):
    unknown: Any = "small"
    told = "preset is 'small'; choose 'paper' or 'mini' or 'smoke'"
    with pytest.raises(SettingError, match=told):
        evaluate(task.model, task.test, ["clean"], preset=unknown)


def test_the_paper_preset_is_the_papers():
    paper = PRESETS["paper"]
    assert (paper.attack_steps, paper.attack_restarts, paper.attacked_images) == (50, 10, None)
    assert (paper.fgsm_images, paper.profiled_images, paper.eps) == (1000, 1000, 8 / 255)


class _Scaled(nn.Module):
    """Its offset is no tensor, so no weights show it."""

    def __init__(self, net: nn.Module, offset: float) -> None:
        super().__init__()
        self.net, self.offset = net, offset

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x - self.offset)


def test_a_record_is_of_what_the_model_answers(task, tmp_path):
    path = tmp_path / "a.json"
    wrong, right = (_Scaled(task.model, offset).eval() for offset in (100.0, 0.0))
    evaluate(wrong, task.test, ["clean"], settings=SETTINGS, file=path)
    with pytest.raises(RecordError, match=r"answers: \w+, now \w+"):
        evaluate(right, task.test, ["clean"], settings=SETTINGS, file=path)
