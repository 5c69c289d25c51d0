import json

import numpy as np
import pytest
import torch
from einops import rearrange

from freqreg.errors import InputError, SettingError
from freqreg.evaluation.corruptions import (
    CorruptedDataError,
    CorruptedOnTheFly,
    corrupt,
    open_corrupted,
    write_npy_folder,
)

LABELS = torch.arange(12) % 10
NAMES = ("fog", "gaussian_noise")


def test_what_is_written_is_what_is_read(images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS, names=NAMES, seed=3)
    written, made = open_corrupted(tmp_path), CorruptedOnTheFly(images, LABELS, seed=3)
    for name in NAMES:
        for severity in (1, 5):
            read, labels = written.load(name, severity)
            assert torch.equal(read, made.load(name, severity)[0])
            assert torch.equal(read.float() / 255, corrupt(images, name, severity, seed=3))
            assert torch.equal(labels, LABELS)


def test_the_layout_is_cifar_10_c_s(images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS, names=NAMES)
    files = {file.name for file in tmp_path.iterdir()}
    assert files == {"fog.npy", "gaussian_noise.npy", "labels.npy", "origin.json"}
    stored, labels = (np.load(tmp_path / f"{name}.npy") for name in ("fog", "labels"))
    assert (stored.dtype, stored.shape) == (np.uint8, (60, 32, 32, 3))
    assert (labels.dtype, labels.tolist()) == (np.uint8, LABELS.tolist() * 5)
    second = rearrange(corrupt(images, "fog", 2) * 255, "b c h w -> b h w c").round()
    assert np.array_equal(stored[12:24], second.numpy())


def test_unsigned_labels_are_written_and_read(images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS.to(torch.uint64), names=NAMES[:1])
    np.save(tmp_path / "labels.npy", np.load(tmp_path / "labels.npy").astype(np.uint64))
    assert torch.equal(open_corrupted(tmp_path).load("fog", 1)[1], LABELS)


def test_what_is_whole_is_kept_and_what_is_missing_is_written(images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS, names=NAMES[:1])
    first = (tmp_path / "fog.npy").stat().st_mtime_ns
    (tmp_path / "gaussian_noise.npy.part").write_bytes(b"of a run that was killed")
    write_npy_folder(tmp_path, images, LABELS, names=NAMES)
    assert (tmp_path / "fog.npy").stat().st_mtime_ns == first
    assert not list(tmp_path.glob("*.part"))
    assert torch.equal(
        open_corrupted(tmp_path).load("gaussian_noise", 4)[0].float() / 255,
        corrupt(images, "gaussian_noise", 4),
    )


def test_nothing_half_written_has_a_final_name(images, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(CorruptedOnTheFly, "find", killed)
    with pytest.raises(KeyboardInterrupt):
        write_npy_folder(tmp_path, images, LABELS, names=NAMES)
    assert not (tmp_path / "fog.npy").exists()


@pytest.mark.parametrize(
    "other",
    [
        lambda x, y: (x, y, 1),
        lambda x, y: (x.flip(0), y, 0),
        lambda x, y: (x, y.flip(0), 0),
    ],
)
def test_a_folder_is_of_one_test_set_and_one_seed(other, images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS, names=NAMES[:1])
    x, y, seed = other(images, LABELS)
    with pytest.raises(CorruptedDataError, match="was written from"):
        write_npy_folder(tmp_path, x, y, names=NAMES, seed=seed)
    assert json.loads((tmp_path / "origin.json").read_text())["seed"] == 0


def test_a_folder_says_how_its_images_were_saved(images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS, names=NAMES[:1], saved_as="jpeg85")
    read, _ = open_corrupted(tmp_path).load("fog", 4)
    assert torch.equal(read.float() / 255, corrupt(images, "fog", 4, saved_as="jpeg85"))
    assert open_corrupted(tmp_path).saved_as == "jpeg85"
    with pytest.raises(CorruptedDataError, match="saved otherwise"):
        write_npy_folder(tmp_path, images, LABELS, names=NAMES)
    (tmp_path / "origin.json").unlink()
    assert open_corrupted(tmp_path).saved_as is None


def test_an_origin_that_is_cut_off_is_told(images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS, names=NAMES[:1])
    (tmp_path / "origin.json").write_text('{"seed": ')
    with pytest.raises(CorruptedDataError, match=r"origin.json is no JSON .*another folder"):
        write_npy_folder(tmp_path, images, LABELS, names=NAMES)


def test_bad_input_is_refused_before_anything_is_written(images, tmp_path, unchecked_shapes):
    with pytest.raises(SettingError, match="Did you mean fog"):
        write_npy_folder(tmp_path / "new", images, LABELS, names=["fogg"])
    with pytest.raises(InputError, match="divide them by 255"):
        write_npy_folder(tmp_path / "new", images * 255, LABELS)
    with pytest.raises(InputError, match="one class number"):
        write_npy_folder(tmp_path / "new", images, LABELS[:2])
    assert not (tmp_path / "new").exists()


def test_a_part_of_a_test_set_is_corrupted_as_it_is_in_the_whole(images, tmp_path):
    rows = torch.tensor([2, 5, 11])
    part = images[rows], LABELS[rows]
    write_npy_folder(tmp_path, *part, names=["gaussian_noise"], index=rows)
    whole, _ = CorruptedOnTheFly(images, LABELS).load("gaussian_noise", 2)
    assert torch.equal(open_corrupted(tmp_path).load("gaussian_noise", 2)[0], whole[rows])
    with pytest.raises(CorruptedDataError, match="was written from"):
        write_npy_folder(tmp_path, *part, names=["gaussian_noise"])


def test_many_classes_are_kept(images, tmp_path):
    write_npy_folder(tmp_path, images, LABELS * 100, names=NAMES[:1])
    assert torch.equal(open_corrupted(tmp_path).load("fog", 1)[1], LABELS * 100)


def test_a_folder_of_another_program_is_refused(images, tmp_path):
    np.save(tmp_path / "labels.npy", np.arange(60))
    with pytest.raises(CorruptedDataError, match=r"did not write: there is no origin.json"):
        write_npy_folder(tmp_path, images, LABELS, names=NAMES)
    assert len(np.load(tmp_path / "labels.npy")) == 60
    (tmp_path / "origin.json").write_text("[]")
    with pytest.raises(CorruptedDataError, match=r"is no JSON object .it holds a list.*another"):
        write_npy_folder(tmp_path, images, LABELS, names=NAMES)
