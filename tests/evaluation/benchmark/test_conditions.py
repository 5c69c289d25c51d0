"""What an evaluation needs is checked before the first score, and told in one sentence."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from freqreg.errors import FreqregError, SettingError
from freqreg.evaluation import LabelledImages, evaluate, open_corrupted
from freqreg.evaluation.benchmark import measures
from freqreg.evaluation.benchmark.scores import SCORES
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.corruptions import (
    CorruptedDataError,
    CorruptedOnTheFly,
    corrupt,
    write_npy_folder,
)
from freqreg.evaluation.corruptions.npy_folder import NpyFolder
from freqreg.evaluation.inputs.loaded_model import LoadedModel
from freqreg.evaluation.inputs.sources.base import LazySource
from freqreg.evaluation.inputs.transforms import EvalTransform
from freqreg.evaluation.metrics.calibration import mean_cross_entropy
from freqreg.evaluation.results.records import RecordError
from freqreg.evaluation.results.summary import incomparable
from freqreg.networks import OneConvNet

SETTINGS = EvaluationSettings(attack_steps=2, attack_restarts=1, corrupted_images=10)
SIDE, CLASSES = 16, 4
CORRUPTED = ["corruption/fog"]


def _test(count: int = 20, side: int = SIDE) -> LabelledImages:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    return LabelledImages(pixels, torch.arange(count) * 3 % CLASSES)


@pytest.fixture
def model() -> nn.Module:
    return OneConvNet(CLASSES, image_size=SIDE).eval()


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where anything is measured."""
    for name, score in SCORES.items():
        fail = dataclasses.replace(score, measure=lambda *_: pytest.fail("measured"))
        monkeypatch.setitem(SCORES, name, fail)


def _train(side: int = SIDE) -> LabelledImages:
    return _test(side=side)


Case = tuple[str, dict[str, Any], str]
CASES: dict[str, Case] = {
    "no such score": ("fog", {}, "There is no score 'fog'"),
    "no source": ("transfer", {}, "needs another model: give transfer_source"),
    "a source of other classes": (
        "transfer",
        {"transfer_source": OneConvNet(7, image_size=SIDE).eval()},
        "tells 4 classes apart, and the one .* tells 7",
    ),
    "a source of another size": (
        "transfer",
        {"transfer_source": OneConvNet(CLASSES, image_size=32).eval()},
        "cannot take images of 3 x 16 x 16 .* It takes 32 x 32",
    ),
    "no train images": ("recalibrated/fog", {}, "need clean train images: give train_images"),
    "train images of another size": (
        "recalibrated/fog",
        {"train_images": _train(20)},
        r"train images have shape \(3, 20, 20\), the test images \(3, 16, 16\)",
    ),
    "no batch norm": ("recalibrated/fog", {"train_images": _train()}, "has no batch norm"),
    "corrupted images of another size": (
        "corruption/fog",
        {"corrupted": CorruptedOnTheFly(_test(side=20).pixels, _test().labels)},
        "fog 1 .* have 3 x 20 x 20 pixels, the test set's 3 x 16 x 16",
    ),
    "fewer corrupted images": (
        "corruption/fog",
        {"corrupted": CorruptedOnTheFly(_test().pixels[:9], _test().labels[:9])},
        "has 9 images of fog 1, the test set has 20: one for each",
    ),
    "corrupted labels of another data set": (
        "corruption/fog",
        {"corrupted": CorruptedOnTheFly(_test().pixels, torch.arange(20) * 5)},
        "labels of fog 1 .* 19 of 20 differ, such as that of image 1, 5 instead of 3",
    ),
    "corrupted labels in another order": (
        "recalibrated/fog",
        {"corrupted": CorruptedOnTheFly(_test().pixels, _test().labels.flip(0))},
        "has no batch norm|labels of fog 1",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("untouched")
def test_a_condition_that_is_not_met_is_told_before_anything_is_measured(model, case):
    score, how, told = CASES[case]
    how = {"train_images": _train(), **how} if case.endswith("order") else how
    with pytest.raises(FreqregError, match=told) as error:
        evaluate(model, _test(), ["clean", score], settings=SETTINGS, **how)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda test: dataclasses.replace(test, labels=test.labels + 1), "labels span 1 to 4"),
        (lambda _: _test(side=32), "cannot take images of 3 x 32 x 32 .* It takes 16 x 16"),
        (lambda test: test.select(torch.arange(0)), "at least one image"),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_images_that_do_not_fit_the_model(
    model, change: Callable[[LabelledImages], LabelledImages], told: str
):
    with pytest.raises(FreqregError, match=told):
        evaluate(model, change(_test()), ["clean"])


@pytest.mark.parametrize("score", ["fgsm", "noise", "log_b_low", "corruption/fog"])
@pytest.mark.usefixtures("untouched")
def test_a_model_that_answers_nan(model, score):
    model.head.bias.data[0] = torch.nan
    with pytest.raises(FreqregError, match="clean images with NaN"):
        evaluate(model, _test(), [score])


@pytest.mark.usefixtures("untouched")
def test_a_grey_test_set_cannot_be_corrupted():
    grey = dataclasses.replace(_test(), pixels=_test().pixels[:, :1])
    net = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, CLASSES)).eval()
    with pytest.raises(FreqregError, match="Corruptions need RGB"):
        evaluate(net, grey, ["clean", "corruption/fog"])


@pytest.mark.usefixtures("untouched")
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(model, tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("file/a.json", "/proc/here/a.json"):
        with pytest.raises(FreqregError, match="Nothing can be written into"):
            evaluate(model, _test(), ["clean"], file=tmp_path / place)


def _always(answer: int) -> nn.Module:
    net = OneConvNet(10, image_size=SIDE)
    nn.init.zeros_(net.head.weight)
    net.head.bias.data = torch.eye(10)[answer]
    return net.eval()


@pytest.mark.filterwarnings("ignore:The gradient of:UserWarning")
@pytest.mark.parametrize("answer", [0, 9])
def test_some_images_of_a_sorted_test_set_are_of_all_classes(answer):
    """A constant classifier has 10 % under whatever is measured on some of the images."""
    pixels = torch.randint(0, 256, (400, 3, SIDE, SIDE), dtype=torch.uint8)
    test = LabelledImages(pixels, torch.arange(10).repeat_interleave(40))
    some = EvaluationSettings(
        fgsm_images=30,
        attack_steps=1,
        attack_restarts=1,
        attacked_images=20,
        curve_steps=1,
        curve_images=20,
        corrupted_images=10,
    )
    scores = ["clean", "fgsm", "pgd", "cw", "noise", "curve", "corruption/fog"]
    found = evaluate(_always(answer), test, scores, settings=some).scores
    accuracies = {
        (name, part): value
        for name, entry in found.items()
        for part, value in entry.values.items()
        if part not in ("loss", "ece", "zero gradient") and not part.startswith("loss")
    }
    assert len(accuracies) > 10
    assert {round(value, 9) for value in accuracies.values()} == {0.1}


def test_what_is_measured_of_an_image_does_not_depend_on_which_others_are(model):
    """Random numbers are keyed by an image's place in its source."""
    test = _test(40)
    some = test.select(torch.arange(3, 40, 4))
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))

    def shown(images: LabelledImages, score: str) -> Tensor:
        seen.clear()
        evaluate(model, images, [score], settings=SETTINGS_OF_ALL)
        return torch.cat([batch for batch in seen if len(batch) == len(images)])

    for score in ("noise", "pgd", "curve", "corruption/gaussian_noise"):
        whole, part = shown(test, score), shown(some, score)
        assert torch.equal(whole[:40][some.index], part[: len(some)]), score


SETTINGS_OF_ALL = EvaluationSettings(
    attack_steps=1, attack_restarts=1, curve_steps=1, curve_images=None
)


def _write(folder, test: LabelledImages, **how: Any) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    write_npy_folder(folder, test.pixels, test.labels, names=["fog"], **how)


def test_corrupted_images_are_those_that_are_there_now(model, tmp_path):
    file, folder, test = tmp_path / "a.json", tmp_path / "c", _test()
    _write(folder, test)
    how: dict[str, Any] = {"settings": SETTINGS, "file": file}
    first = evaluate(model, test, CORRUPTED, corrupted=open_corrupted(folder), **how)
    made = evaluate(model, test, CORRUPTED, settings=SETTINGS)
    assert first.scores["corruption/fog"].values == made.scores["corruption/fog"].values
    assert evaluate(model, test, CORRUPTED, corrupted=open_corrupted(folder), **how) == first
    _write(folder, dataclasses.replace(test, pixels=test.pixels // 2))
    others = pytest.warns(UserWarning, match=r"c was made from other images than the test set's")
    with others, pytest.raises(RecordError, match=r"corrupted_data: \w+, now \w+.*--replace"):
        evaluate(model, test, CORRUPTED, corrupted=open_corrupted(folder), **how)
    how |= {"replace": True}
    with others:
        again = evaluate(model, test, CORRUPTED, corrupted=open_corrupted(folder), **how)
    assert again.scores["corruption/fog"].settings != first.scores["corruption/fog"].settings


def test_corrupted_images_are_read_once_for_their_score_and_their_digest(model, tmp_path):
    """But for the size of the first of each severity, and for those compared with clean ones."""
    _write(tmp_path, _test())
    read = []

    class Counted(NpyFolder):
        def find(self, name: str, severity: int) -> LazySource:
            found = super().find(name, severity)

            def counted(rows: Sequence[int]):
                read.extend(rows)
                return found.read(rows)

            return dataclasses.replace(found, read=counted)

    corrupted = Counted(tmp_path)
    evaluate(model, _test(), CORRUPTED, settings=SETTINGS, corrupted=corrupted)
    compared = (torch.arange(16) * 20 // 16).tolist()
    assert sorted(read) == sorted([0] * 5 + list(range(10)) * 5 + compared)


def test_a_digest_of_corrupted_images_does_not_depend_on_the_batch_size(model, tmp_path):
    _write(tmp_path, _test())
    digests = {
        evaluate(
            model,
            _test(),
            CORRUPTED,
            settings=dataclasses.replace(SETTINGS, batch_size=size),
            corrupted=open_corrupted(tmp_path),
        )
        .scores["corruption/fog"]
        .settings["corrupted_data"]
        for size in (3, 100)
    }
    assert len(digests) == 1


def test_of_a_part_of_the_test_set_its_own_corrupted_images_are_taken(model, tmp_path):
    """Also where the corrupted set is the whole one."""
    test, rows = _test(), torch.tensor([1, 4, 6, 13])
    _write(tmp_path, test)
    some = test.select(rows)
    found = evaluate(model, some, CORRUPTED, corrupted=open_corrupted(tmp_path), settings=SETTINGS)
    made = evaluate(model, some, CORRUPTED, settings=SETTINGS)
    assert found.scores["corruption/fog"].values == made.scores["corruption/fog"].values


def test_corrupted_images_of_other_pictures_with_the_same_labels_are_refused(model, tmp_path):
    test = _test(40)
    how: dict[str, Any] = {"settings": SETTINGS}
    for rows in (torch.arange(40), torch.arange(3, 40, 2)):
        _write(tmp_path, test)
        of = test.select(rows)
        assert evaluate(model, of, CORRUPTED, corrupted=open_corrupted(tmp_path), **how)
        _write(tmp_path, dataclasses.replace(test, pixels=test.pixels.flip(0)))
        said = r"fog 1 in .* show other pictures than .* of 16, \d+% resemble their own"
        with pytest.raises(CorruptedDataError, match=said):
            evaluate(model, of, CORRUPTED, corrupted=open_corrupted(tmp_path), **how)


def test_pictures_that_cannot_be_told_apart_are_not_refused(model, tmp_path):
    blank = dataclasses.replace(_test(), pixels=torch.full((20, 3, SIDE, SIDE), 90).byte())
    _write(tmp_path, blank)
    assert evaluate(model, blank, CORRUPTED, corrupted=open_corrupted(tmp_path), settings=SETTINGS)


def test_how_images_were_saved_is_a_condition(model, tmp_path):
    file, saved = tmp_path / "a.json", dataclasses.replace(SETTINGS, saved_as="jpeg85")
    plain = evaluate(model, _test(), CORRUPTED, settings=SETTINGS, file=file)
    with pytest.raises(RecordError, match=r"saved_as: None, now jpeg85.*--replace"):
        evaluate(model, _test(), CORRUPTED, settings=saved, file=file)
    found = evaluate(model, _test(), CORRUPTED, settings=saved)
    assert incomparable(plain, found) == ["saved_as: None and jpeg85"]
    first = _test().first(10)
    for severity, accuracy in found.scores["corruption/fog"].values.items():
        shown = corrupt(first.pixels, "fog", int(severity), saved_as="jpeg85")
        right = model(shown).argmax(1) == first.labels
        assert accuracy == pytest.approx(right.double().mean().item())


def test_stored_images_say_how_they_were_saved(model, tmp_path):
    test, saved = _test(), dataclasses.replace(SETTINGS, saved_as="jpeg85")
    _write(tmp_path, test)
    with pytest.raises(SettingError, match=r"but not known of .*Leave it out"):
        evaluate(model, test, CORRUPTED, settings=saved, corrupted=open_corrupted(tmp_path))
    _write(tmp_path, test, saved_as="jpeg85")
    for settings in (SETTINGS, saved):
        corrupted = open_corrupted(tmp_path)
        stored = evaluate(model, test, CORRUPTED, settings=settings, corrupted=corrupted)
        assert stored.scores["corruption/fog"].settings["saved_as"] == "jpeg85"
    made = evaluate(model, test, CORRUPTED, settings=saved)
    assert stored.scores["corruption/fog"].values == made.scores["corruption/fog"].values


def test_imagenet_cs_images_are_resized_as_a_whole_to_the_models_size(tmp_path):
    """Corrupted and saved at 224 pixels, as users of the released files see them."""
    large, size = _test(4, side=224), (40, 40)
    shown: list[Tensor] = []
    net = OneConvNet(CLASSES, image_size=40).eval()
    net.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].clone()))
    transform = EvalTransform(size, crop_share=0.5, interpolation="bilinear")
    loaded = LoadedModel("m", net, {}, transform)
    test = dataclasses.replace(_test(4, side=40), labels=large.labels)
    made = CorruptedOnTheFly(large.pixels, large.labels, saved_as="jpeg85")
    write_npy_folder(tmp_path, large.pixels, large.labels, names=["fog"], saved_as="jpeg85")
    pictures = [Image.fromarray(each.numpy()) for each in made.load("fog", 5)[0].movedim(1, -1)]
    expected = [each.resize(size, Image.Resampling.BILINEAR).tobytes() for each in pictures]
    records = []
    for corrupted in (made, open_corrupted(tmp_path)):
        shown.clear()
        records.append(evaluate(loaded, test, CORRUPTED, corrupted=corrupted))
        last = (shown[-1] * 255).round().byte().movedim(1, -1)
        assert [bytes(each.numpy()) for each in last] == expected
    first, second = (record.scores["corruption/fog"] for record in records)
    assert first.values == second.values
    assert first.settings["corruptions_from"] == "made here, 224 x 224"
    unknown = dataclasses.replace(loaded, transform=None)
    with pytest.raises(FreqregError, match="have 3 x 224 x 224 pixels, the test set's 3 x 40 x 40"):
        evaluate(unknown, test, CORRUPTED, corrupted=made)


NAMES = ("wren", "auk", "tit", "owl")
"""Numbered 0 to 3 in this order, which is not the alphabet's."""


def _folders(place, test: LabelledImages, names: tuple[str, ...] = NAMES) -> None:
    for severity in range(1, 6):
        for row, (pixels, label) in enumerate(zip(test.pixels, test.labels.tolist(), strict=True)):
            folder = place / "fog" / str(severity) / names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.movedim(0, -1).numpy()).save(folder / f"{row:02}.png")
        hidden = place / "fog" / str(severity) / ".ipynb_checkpoints"
        hidden.mkdir()
        (hidden / "00.png").write_bytes(b"")
        (place / "fog" / str(severity) / names[0] / "._00.png").write_bytes(b"")


def _accuracy(model: nn.Module, test: LabelledImages, place) -> float:
    settings = dataclasses.replace(SETTINGS, corrupted_images=None)
    corrupted = open_corrupted(place)
    found = evaluate(model, test, CORRUPTED, settings=settings, corrupted=corrupted)
    assert len(set(found.scores["corruption/fog"].values.values())) == 1
    return found.scores["corruption/fog"].values["1"]


def test_folders_of_classes_are_numbered_by_the_test_sets_names(tmp_path):
    """Uncorrupted files: a model that is right for some of the test images is right for these."""
    test = dataclasses.replace(_test(), class_names=NAMES)
    labels = test.labels.clone()
    labels[::3] = (labels[::3] + 1) % CLASSES
    knows = _Knows(test.pixels, labels).eval()
    expected = float((labels == test.labels).double().mean())
    assert 0.2 < expected < 0.8
    _folders(tmp_path, test)
    assert _accuracy(knows, test, tmp_path) == pytest.approx(expected)


def test_names_of_folders_match_in_any_case(tmp_path):
    test = dataclasses.replace(_test(), class_names=("apple", "Banana", "a b", "d"))
    _folders(tmp_path, test, ("Apple", "banana", "a_b", "D"))  # sorted otherwise
    assert _accuracy(_Knows(test.pixels, test.labels).eval(), test, tmp_path) == 1.0


def test_folders_with_other_names_go_by_position_if_there_are_as_many(tmp_path):
    test = dataclasses.replace(_test(), class_names=tuple("abcd"))
    _folders(tmp_path, test, ("n0", "n1", "n2", "n3"))
    with pytest.warns(UserWarning, match=r"\(n0, \.\.\.\) have none of .* names \(a, \.\.\.\)"):
        assert _accuracy(_Knows(test.pixels, test.labels).eval(), test, tmp_path) == 1.0


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("wren", "auk", "tit", "rook"), "1 are none of the test set's 4 .rook"),
        (("b", "a", "d", "c"), "labels of fog 1"),
    ],
)
def test_folders_of_other_classes_are_refused(tmp_path, model, names, told):
    """By name, and by how many images each has."""
    test = dataclasses.replace(_test(18), class_names=NAMES)
    _folders(tmp_path, test, names)
    with pytest.raises(FreqregError, match=told):
        evaluate(model, test, ["clean", *CORRUPTED], corrupted=open_corrupted(tmp_path))


class _Knows(nn.Module):
    """Tells images that it has seen by their pixels."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.known = {
            image.numpy().tobytes(): label for image, label in zip(pixels, labels, strict=True)
        }

    def forward(self, x: Tensor) -> Tensor:
        bytes_ = ((x * 255).round().byte()).numpy()
        answers = [self.known.get(image.tobytes(), 0) for image in bytes_]
        return torch.eye(CLASSES)[torch.tensor(answers)]


class _Scaled(nn.Module):
    def __init__(self, network: nn.Module, scale: float) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * self.scale


@pytest.mark.parametrize("score", ["fgsm", "pgd"])
def test_gradients_that_are_zero_are_counted_kept_and_warned_of(model, score):
    images = _test()
    with torch.no_grad():
        predicted = model(images.pixels / 255).argmax(1)
    test = dataclasses.replace(images, labels=predicted)
    sound = evaluate(model, test, [score, "cw"], settings=SETTINGS)
    assert sound.value(score, "zero gradient") == 0
    flat = _Scaled(model, 1e6).eval()
    with pytest.warns(UserWarning, match=r"100.0% of the images .* margin loss .* AutoAttack"):
        found = evaluate(flat, test, [score], settings=SETTINGS)
    assert found.value(score, "zero gradient") == 1
    assert found.value(score) == 1 > sound.scores[score].values["accuracy"]
    margins = evaluate(flat, test, ["cw"], settings=SETTINGS)
    assert margins.value("cw") == sound.value("cw")
    assert margins.value("cw", "zero gradient") == 0


def test_every_score_has_its_measure():
    named = {score.measure for score in SCORES.values()}
    assert {measures.clean, measures.noise, measures.curve, measures.log_b_low} <= named


def test_mixed_precision_is_of_natural_scores_and_a_condition_of_theirs(model, tmp_path):
    test, names = _test(), ["clean", "noise", *CORRUPTED, "pgd"]
    half = dataclasses.replace(SETTINGS, amp=True)
    file = tmp_path / "a.json"
    whole = evaluate(model, test, names, settings=SETTINGS, file=file)
    record = evaluate(model, test, names, settings=half)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = model(test.pixels / 255).float()
    assert record.value("clean", "loss") == mean_cross_entropy(logits, test.labels)
    assert record.value("clean", "loss") != whole.value("clean", "loss")
    for name in names:
        conditions, before = (each.scores[name].settings for each in (record, whole))
        assert conditions == {**before, **({} if name == "pgd" else {"amp": True})}
    assert record.scores["pgd"].values == whole.scores["pgd"].values
    with pytest.raises(RecordError, match="amp: None, now True"):
        evaluate(model, test, ["clean"], settings=half, file=file)
