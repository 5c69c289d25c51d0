"""Bad input to any evaluation: a clear error each."""

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from freqreg.errors import InputError
from freqreg.evaluation.attacks.pgd import FGSMAttack, PGDAttack
from freqreg.evaluation.inputs.examples import count_classes
from freqreg.evaluation.metrics.accuracy import accuracy, logits_of, predictions
from tests.evaluation.victims import SIDE, examples_of, victim

EVALUATIONS = [
    accuracy,
    FGSMAttack(0.1).run,
    PGDAttack(0.1, steps=1, restarts=1).run,
]


def _images(**changes: Tensor) -> dict[str, Any]:
    return {"images": torch.rand(4, 3, SIDE, SIDE), "labels": torch.arange(4)} | changes


def _with_nan():
    images = torch.rand(4, 3, SIDE, SIDE)
    images[2, 1, 3, 3] = torch.nan
    return images


BAD = {
    "NaN": ({"images": _with_nan()}, "contain NaN"),
    "0..255": ({"images": 255 * torch.rand(4, 3, SIDE, SIDE)}, "divide them by 255"),
    "normalised": ({"images": torch.randn(4, 3, SIDE, SIDE)}, "Normalized"),
    "integers": ({"images": torch.ones(4, 3, SIDE, SIDE).long()}, "give uint8, or floats"),
    "grey": ({"images": torch.rand(4, 1, SIDE, SIDE)}, r"1 x 12 x 12 pixels .* 3 channels"),
    "another size": ({"images": torch.rand(4, 3, 9, 9)}, r"3 x 9 x 9 pixels"),
    "one image": ({"images": torch.rand(3, SIDE, SIDE)}, r"image\[None\]"),
    "no image": ({"images": torch.rand(0, 3, SIDE, SIDE), "labels": torch.arange(0)}, "one image"),
    "label too large": ({"labels": torch.tensor([0, 1, 10, 2])}, r"span 0 to 10.*0 \.\. 9"),
    "label below 0": ({"labels": torch.tensor([0, 1, -1, 2])}, "span -1 to 2"),
    "one label too few": ({"labels": torch.arange(3)}, "each of 4 images"),
    "float labels": ({"labels": torch.zeros(4)}, "dtype torch.float32"),
}


@pytest.mark.parametrize("evaluate", EVALUATIONS, ids=["clean", "fgsm", "pgd"])
@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_refused(evaluate, bad, unchecked_shapes):
    changes, complaint = BAD[bad]
    with pytest.raises(InputError, match=complaint):
        evaluate(victim(torch.float32), **_images(**changes))


@pytest.mark.parametrize("evaluate", EVALUATIONS, ids=["clean", "fgsm", "pgd"])
def test_a_model_in_training_mode_is_refused(evaluate):
    model = nn.Sequential(victim(torch.float32), nn.Dropout()).eval()
    model[1].train()
    with pytest.raises(InputError, match=r"1 modules, such as 1\).*model.eval\(\)"):
        evaluate(model, **_images())


def test_a_model_without_logits_is_refused(unchecked_shapes):
    with pytest.raises(InputError, match=r"needed are logits \[batch, class\]"):
        accuracy(lambda x: x.mean((1, 2, 3)), **_images())


@pytest.mark.parametrize("scale", [1, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_are_refused(scale, dtype):
    model, given = victim(dtype), _images(images=torch.rand(4, 3, SIDE, SIDE, dtype=dtype))
    with pytest.raises(InputError, match=r"returned probabilities.*log_softmax of the logits"):
        accuracy(lambda x: (scale * model(x)).softmax(1), **given)
    assert accuracy(lambda x: model(x).log_softmax(1), **given) == accuracy(model, **given)


def _saturated_on_the_first(x):
    rows = torch.full((len(x), 10), 0.1)
    rows[0] = torch.eye(10)[0]
    return rows


PROBABILITIES = {
    "float16": (lambda p: p.half(), r"sum to 1\."),
    "bfloat16": (lambda p: p.bfloat16(), r"sum to 1\."),
    "rounded and converted": (lambda p: p.half().float(), r"sum to 1\."),
    "percent": (lambda p: 100 * p, "in percent"),
    "one-hot on the first image": (_saturated_on_the_first, r"sum to 1\."),
}


@pytest.mark.parametrize("kind", PROBABILITIES)
def test_probabilities_of_any_kind_are_refused(kind):
    change, complaint = PROBABILITIES[kind]
    images = torch.rand(64, 3, SIDE, SIDE)
    model = victim(torch.float32)
    with pytest.raises(InputError, match=complaint):
        count_classes(lambda x: change((3 * model(x)).softmax(1)), images)


@pytest.mark.parametrize(
    "layer",
    [
        lambda z: F.dropout(z),
        lambda z: F.batch_norm(z, None, None, training=True),
        lambda z: z - z.mean(0),
    ],
    ids=["dropout", "batch norm", "mean of the batch"],
)
def test_answers_that_change_with_the_batch_or_by_chance_are_told(layer):
    model = victim(torch.float32)
    with pytest.warns(UserWarning, match="in another batch, or at a second call"):
        count_classes(lambda x: layer(model(x)), torch.rand(16, 3, SIDE, SIDE))


def test_outputs_of_a_sigmoid_are_told():
    model = victim(torch.float32)
    with pytest.warns(UserWarning, match="outputs of a sigmoid"):
        count_classes(lambda x: model(x).sigmoid(), torch.rand(4, 3, SIDE, SIDE))


LOGITS = {
    "one class": lambda z: z[:, :1].sigmoid(),
    "no negative ones": lambda z: 3 * z.relu(),
    "cosines": lambda z: (10 * z).cos(),
    "zeros": lambda z: 0 * z,
    "one-hot": lambda z: torch.eye(10)[z.argmax(1)],
    "a constant": lambda z: torch.eye(10)[0].expand(len(z), 10),
}


@pytest.mark.parametrize("kind", LOGITS)
def test_logits_of_any_kind_are_accepted(kind):
    model = victim(torch.float32)
    images = torch.rand(16, 3, SIDE, SIDE)
    assert count_classes(lambda x: LOGITS[kind](model(x)), images) in (1, 10)


ODD = {
    "a row for all": (lambda z, _: z.mean(0, keepdim=True), r"\[1, 10\] for 4 images"),
    "too many rows": (lambda z, _: torch.cat([z, z]), r"\[8, 10\] for 4 images"),
    "a tuple": (lambda z, _: (z, z), "returned tuple; needed"),
    "a dict": (lambda z, _: {"logits": z}, "returned dict; needed"),
    "images in place": (lambda z, x: (x.sub_(0.5), z)[1], "changes its images in place"),
}


@pytest.mark.parametrize("evaluate", EVALUATIONS, ids=["clean", "fgsm", "pgd"])
@pytest.mark.parametrize("kind", ODD)
def test_odd_answers_are_refused(evaluate, kind, unchecked_shapes):
    change, complaint = ODD[kind]
    model, given = victim(torch.float32), _images()
    before = given["images"].clone()
    with pytest.raises(InputError, match=complaint):
        evaluate(lambda x: change(model(x), x), **given)
    assert torch.equal(given["images"], before)


def test_a_size_that_the_model_asserts_is_named_in_one_line():
    model = timm.create_model("test_vit", num_classes=4).eval()
    with pytest.raises(InputError, match=r"3 x 12 x 12 pixels \(Input height .*32 x 32"):
        accuracy(model, **_images())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_named(dtype):
    with pytest.raises(InputError, match=rf"weights of {dtype}: make it model\.float\(\)"):
        accuracy(victim(dtype), **_images())


def test_accuracy_of_a_module_or_a_function():
    model = victim()
    images, labels = examples_of(model, 10)
    labels[:3] = (labels[:3] + 1) % 10
    expected = [False] * 3 + [True] * 7
    predicted = predictions(logits_of(model, images, labels, batch_size=4))
    assert (predicted == labels).tolist() == expected
    assert accuracy(lambda x: model(x), images, labels) == 0.7


def test_an_infinite_or_nan_logit_is_no_answer():
    logits = torch.tensor([[0, 1], [0, torch.nan], [torch.inf, 0], [0, -torch.inf]])
    assert predictions(logits).tolist() == [1, -1, -1, 0]
    assert predictions(torch.full((1, 2), -torch.inf)).tolist() == [-1]
    images, labels = torch.rand(3, 3, SIDE, SIDE), torch.tensor([0, 1, 1])
    assert accuracy(lambda x: logits[1:].expand(3, 2)[: len(x)], images, labels) == 0
