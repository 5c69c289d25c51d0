"""Streamed images are those in memory, whoever takes them, and few are in memory at a time."""

import os
import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.testing import assert_close

from freqreg.evaluation import evaluate, fourier_heat_map
from freqreg.evaluation.attacks import base
from freqreg.evaluation.benchmark.settings import EvaluationSettings
from freqreg.evaluation.corruptions.writing import write_npy_folder
from freqreg.evaluation.inputs import decoding, images, streaming
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.sources.base import ImagesError, held
from freqreg.evaluation.inputs.streaming import StreamedPixels, read
from freqreg.evaluation.results.digests import digest_of_images
from tests.evaluation.shared_work import Net

COUNT = 70  # more than two pieces
SCORES = [
    *("clean", "noise", "pgd", "curve", "transfer"),
    *("log_b_low", "corruption/fog", "recalibrated/fog"),
]
SETTINGS = EvaluationSettings(
    attack_steps=2, attack_restarts=1, curve_steps=1, recalibration_images=None, batch_size=32
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        place = folder / f"class {number % 4}"
        place.mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


@pytest.fixture
def both(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[LabelledImages, LabelledImages]:
    """In memory, and streamed."""
    in_memory = load_images(folder, image_size=16)
    monkeypatch.setattr(images, "fits", lambda size: size < COUNT * 3 * 16 * 16)
    return in_memory, load_images(folder, image_size=16, cache_dir=tmp_path / "empty")


def test_they_are_indexed_and_split_as_a_tensor_is(both):
    tensor, streamed = (each.pixels for each in both)
    assert isinstance(streamed, StreamedPixels)
    assert (streamed.shape, streamed.ndim) == (tensor.shape, tensor.ndim)
    assert (streamed.dtype, streamed.device) == (tensor.dtype, tensor.device)
    for rows in (3, slice(2, 60, 3), torch.tensor([69, 0, 0, 5]), (4, 2), (slice(3), 0, 1)):
        assert torch.equal(streamed[rows], tensor[rows])
    for size in (1, 32, 50, 100):
        pairs = zip(read(streamed, size), tensor.split(size), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_labelled_images_stay_streamed_until_their_batches(both):
    in_memory, streamed = both
    for change in (lambda i: i.select([60, 2, 33]), lambda i: i.first(9).first(5)):
        few, expected = change(streamed), change(in_memory)
        assert isinstance(few.pixels, StreamedPixels)
        assert torch.equal(few.pixels[:], expected.pixels)
        assert torch.equal(few.index, expected.index)
        assert digest_of_images(few) == digest_of_images(expected)
    batches = [some.batches(40, [1, *range(60)]) for some in both]
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.labels, other.labels)


def test_scores_and_digests_are_the_same(both, monkeypatch):
    """Of attacks in parts of a batch each, too."""
    records = []
    for test in both:
        net, source = Net(0).eval(), Net(1).eval()
        others = {"train_images": test, "transfer_source": source}
        records.append(evaluate(net, test, SCORES, settings=SETTINGS, **others))
        monkeypatch.setattr(base, "VALUES_AT_ONCE", SETTINGS.batch_size * 3 * 16 * 16)
    assert records[0].about == records[1].about
    for name in SCORES:
        one, other = (record.scores[name] for record in records)
        assert one.values == other.values
        assert one.settings == other.settings


def test_heat_maps_and_corrupted_folders_are_the_same(both, tmp_path):
    maps = [
        fourier_heat_map(Net(0).eval(), some.pixels, some.labels, file=tmp_path / "map.jsonl")
        for some in (each.select(range(6)) for each in both)
    ]
    assert_close(*maps, rtol=0, atol=0)
    folders = [tmp_path / "memory", tmp_path / "streamed"]
    for some, place in zip(both, folders, strict=True):
        write_npy_folder(place, some.pixels, some.labels, names=["fog"])
    for name in ("fog.npy", "labels.npy", "origin.json"):
        assert len({(place / name).read_bytes() for place in folders}) == 1


def test_few_images_are_decoded_ahead(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    source = held("here", np.zeros((3000, 2, 2, 3), np.uint8), torch.zeros(3000).long())
    decoded, seen = [], []

    def counted(rows):
        decoded.extend(rows)
        return source.read(rows)

    source_counted, first = replace(source, read=counted), ("", (3, 2, 2))
    pixels = StreamedPixels(source_counted, torch.arange(3000), None, first)
    before = threading.active_count()
    for batch in islice(read(pixels, 100), 20):
        seen.append(len(batch))
        assert len(decoded) <= sum(seen) + 4 * decoding.PIECE + 100
    assert threading.active_count() == before
    assert 2000 <= len(decoded) < 2500


def test_a_picture_of_another_size_is_named(folder, tmp_path, monkeypatch):
    for number, width in enumerate((20, 20, 21)):
        (tmp_path / "class").mkdir(exist_ok=True)
        Image.new("RGB", (width, 20)).save(tmp_path / "class" / f"{number}.png")
    monkeypatch.setattr(images, "fits", lambda _: False)
    with pytest.raises(ImagesError, match=r"20×20 pixels \(.*0.png\) and 20×21 .*2.png"):
        list(load_images(tmp_path).batches(2))


@given(available=st.integers(8, 10**12), processes=st.integers(1, 64))
def test_an_eighth_of_the_memory_may_be_taken_by_all_processes(available, processes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "available_memory", lambda: available)
        patch.setenv("LOCAL_WORLD_SIZE", str(processes))
        most = available // (8 * processes)
        assert streaming.fits(most)
        assert not streaming.fits(most + 1)


def test_the_limit_of_a_job_counts(tmp_path, monkeypatch):
    groups = tmp_path / "cgroup"
    groups.write_text("0::/slurm/job_1/step_0\n")
    limit = tmp_path / "sys" / "slurm" / "job_1"
    (limit / "step_0").mkdir(parents=True)
    (limit / "step_0" / "memory.max").write_text("max\n")
    (limit / "memory.max").write_text("4096\n")
    monkeypatch.setattr(streaming, "GROUPS", groups)
    assert streaming.available_memory() > 4096
    monkeypatch.setattr(streaming, "LIMITS", tmp_path / "sys")
    assert streaming.available_memory() == 4096
