"""The commands, on a small run and a file of images."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from freqreg.cli import main
from freqreg.cli.profile import Profile
from freqreg.cli.shared import file_name
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.corruptions import corrupt, open_corrupted
from freqreg.evaluation.corruptions.corruption import saved
from freqreg.evaluation.inputs.images import load_images
from freqreg.evaluation.inputs.models import build_network, load_model
from freqreg.evaluation.metrics.fourier_heat_map import fourier_heat_map
from freqreg.evaluation.metrics.frequency_profile import image_profile, input_gradients
from freqreg.evaluation.results import heat_maps
from freqreg.evaluation.results.records import ModelScores

KWARGS = {"num_classes": 4, "width": 4}


def _save_run(folder, method: str, seed: int) -> None:
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    model = build_network("preact_resnet18", **KWARGS)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"model": "preact_resnet18", "kwargs": KWARGS, "method": method, "seed": seed}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with three runs and a test set."""
    monkeypatch.chdir(tmp_path)
    for name, method, seed in (("a0", "standard", 0), ("a1", "standard", 1), ("b", "jafr", 0)):
        _save_run(tmp_path / name, method, seed)
    images = torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8)
    save_file({"pixels": images, "labels": torch.arange(40) % 4}, tmp_path / "test.safetensors")
    return tmp_path


def _evaluate(*more: str) -> None:
    main(["evaluate", "a0", "a1", "b", "--data", "test.safetensors", "--preset", "smoke", *more])


def test_evaluate_prints_every_seed_and_keeps_all_numbers(here, capsys):
    _evaluate("--eps-255", "4")
    printed = capsys.readouterr().out
    records = {
        name: ModelScores.load(here / "evaluations" / f"{name}.json") for name in ("a0", "a1", "b")
    }
    assert list(records["b"].scores) == [
        *("clean", "fgsm", "pgd", "noise", "log_b_low", "fourier_sensitivity")
    ]
    shares = records["b"].scores["fourier_sensitivity"].values
    assert shares.keys() == {"low", "middle", "high"}
    assert sum(shares.values()) == pytest.approx(1)
    assert records["b"].scores["pgd"].settings["eps"] == 4 / 255
    for name in ("a0", "a1"):
        assert f"{records[name].value('log_b_low', 'one quadrant'):.2f}" in printed
    assert "±" in printed
    assert "collapsed" in printed
    with (here / "evaluations" / "scores.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    accuracy = [row for row in table if row["score"] == "clean" and row["part"] == "accuracy"]
    assert [row["model"] for row in accuracy] == ["a0", "a1", "b"]
    assert sum(row["part"] == "collapsed" for row in table) == 3
    assert [float(row["value"]) for row in accuracy] == [r.value("clean") for r in records.values()]


def test_evaluate_goes_on_where_it_stopped(here, capsys):
    _evaluate("--scores", "clean")
    capsys.readouterr()
    _evaluate("--scores", "clean", "corruption/fog", "corruption/contrast")
    printed = capsys.readouterr().out
    assert "clean: accuracy" not in printed
    assert printed.count("corruption/fog: 1 ") == 3


def test_evaluate_replaces_earlier_scores_only_if_told_to(here, capsys):
    _evaluate("--scores", "clean")
    with pytest.raises(SystemExit, match=r"a0.json holds scores .*images: 40, now 9.*--replace"):
        _evaluate("--scores", "clean", "--images", "9")
    _evaluate("--scores", "clean", "--images", "9", "--replace")
    assert ModelScores.load(here / "evaluations" / "b.json").about["images"] == 9


def test_evaluate_relative_to_a_baseline_and_by_transfer(here, capsys):
    _evaluate("--scores", "corruptions", "transfer", "--corrupted-images", "2",
              "--transfer-from", "b", "--baseline", "a1")  # fmt: skip
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if "mCE" in line and "method" not in line][:1]
    assert "100.00" in line
    assert "transfer" in printed
    assert "b has its mCE relative to a1." in " ".join(printed.split())


def test_some_images_are_corrupted_as_evaluate_does(here):
    """Of images that lie class by class; random numbers go by their places."""
    pixels = load_file("test.safetensors")["pixels"]
    save_file({"pixels": pixels, "labels": torch.arange(len(pixels)) // 10}, "sorted.safetensors")
    options = ("--data", "sorted.safetensors", "--images", "5")
    main(["corrupt", *options, "--output-dir", "c", "--corruptions", "gaussian_noise"])
    found = open_corrupted("c").load("gaussian_noise", 3)[0]
    some = load_images("sorted.safetensors", count=5)
    assert some.index.tolist() != [0, 1, 2, 3, 4]
    expected = corrupt(some.pixels, "gaussian_noise", 3, index=some.index)
    assert torch.equal(found, (255 * expected).round().byte())


def test_evaluate_with_corruptions_from_files_and_new_batch_norm_statistics(here, capsys):
    main(["corrupt", "--data", "test.safetensors", "--output-dir", "c", "--corruptions", "fog"])
    _evaluate("--scores", "corruption/fog", "recalibrated/fog", "--corruptions-from", "c",
              "--train-data", "test.safetensors")  # fmt: skip
    record = ModelScores.load(here / "evaluations" / "b.json")
    assert record.scores["recalibrated/fog"].settings["corruptions_from"] == "c"
    assert record.scores["corruption/fog"].values != record.scores["recalibrated/fog"].values


def _imagenet_c(picture: Image.Image) -> Tensor:
    """256 pixels along the shorter side, of which the middle 224; as uint8 [3, 224, 224]."""
    width, height = picture.size
    scale = 256 / min(width, height)
    picture = picture.resize((int(width * scale), int(height * scale)), Image.Resampling.BILINEAR)
    left, top = (round((side - 224) / 2) for side in picture.size)
    cut = picture.crop((left, top, left + 224, top + 224))
    return torch.from_numpy(np.array(cut)).movedim(-1, 0)


def test_images_are_corrupted_as_those_of_imagenet_c(here):
    """At 224 pixels and saved as JPEG, whether they are stored between or not."""
    config = json.loads((here / "b" / "config.json").read_text())
    (here / "b" / "config.json").write_text(json.dumps(config | {"transform": {"size": [24, 24]}}))
    levels = np.random.default_rng(0).integers(0, 256, (4, 10, 13, 3), dtype=np.uint8)
    pictures = [Image.fromarray(each).resize((390, 300)) for each in levels]
    for label, picture in enumerate(pictures):
        (here / "pictures" / str(label)).mkdir(parents=True)
        picture.save(here / "pictures" / str(label) / "0.png")
    how = ("--data", "pictures", "--saved-as", "jpeg85", "--corrupted-size", "224")
    main(["corrupt", *how, "--output-dir", "c", "--corruptions", "fog"])
    clean = torch.stack([_imagenet_c(picture) for picture in pictures])
    expected = corrupt(clean, "fog", 2, saved_as="jpeg85")
    assert torch.equal(open_corrupted("c").load("fog", 2)[0], (255 * expected).round().byte())
    stored = ("--data", "pictures", "--corruptions-from", "c")
    for options in (how, stored):
        main(["evaluate", "b", *options, "--scores", "corruption/fog", "--output-dir", options[3]])
    found = [ModelScores.load(here / place / "b.json") for place in ("jpeg85", "c")]
    first, second = (record.scores["corruption/fog"] for record in found)
    assert first.values == second.values
    assert first.settings["saved_as"] == second.settings["saved_as"] == "jpeg85"
    with pytest.raises(SystemExit, match="Leave out --corrupted-size"):
        main(["evaluate", "b", *stored, "--corrupted-size", "224", "--output-dir", "d"])


def test_profile_saves_the_images_first(here):
    how = ("--data", "test.safetensors", "--saved-as", "jpeg85", "--images", "4")
    main(["profile", "b", *how, "--image-size", "6", "--heat-map", "--heat-map-norm", "1"])
    of_images, of_model = json.loads((here / "profiles" / "profile.json").read_text())
    assert of_images["saved_as"] == of_model["saved_as"] == "jpeg85"
    pixels = load_images("test.safetensors", count=4, image_size=6).pixels
    expected = image_profile([saved(pixels.float(), "jpeg85") / 255])
    assert of_images["log_b_low"] == expected.log_b_low_by_quadrant()
    (found,) = heat_maps.load(here / "profiles" / heat_maps.FILE)
    assert found.conditions.endswith("saved as jpeg85")


def test_evaluate_leaves_the_files_of_a_run_alone(here, capsys):
    before = {path.name: path.read_bytes() for path in (here / "b").iterdir()}
    (here / "b" / "results.json").write_text('{"measures": {}}')
    for _ in range(2):
        main(["evaluate", "b", "--data", "test.safetensors", "--preset", "smoke", "--scores",
              "clean", "--output-dir", "b"])  # fmt: skip
        assert "clean" in capsys.readouterr().out
    assert {name: (here / "b" / name).read_bytes() for name in before} == before
    assert ModelScores.load(here / "b" / "b.json").value("clean") is not None


def test_evaluate_from_within_a_run(here, monkeypatch, capsys):
    monkeypatch.chdir(here / "b")
    main(["evaluate", ".", "--data", "../test.safetensors", "--preset", "smoke", "--scores",
          "clean"])  # fmt: skip
    assert ModelScores.load(here / "b" / "evaluations" / "b.json").model == "."


def test_evaluate_leaves_out_an_mce_between_unlike_conditions_and_says_so(here, capsys):
    corruptions = ("--scores", "corruptions", "--corrupted-images", "2")
    main(["evaluate", "a0", "--data", "test.safetensors", "--preset", "smoke", *corruptions])
    alone = " ".join(capsys.readouterr().out.split())
    assert "mCE, unnormalised │" in alone
    assert not re.search(r"mCE │|mCE \(19\)|relative to|no mCE", alone)
    main(["evaluate", "b", "--data", "test.safetensors", "--preset", "smoke", "--images", "20",
          *corruptions, "--baseline", "a0"])  # fmt: skip
    printed = " ".join(capsys.readouterr().out.split())
    assert "mCE │" not in printed
    assert re.search(r"b has no mCE: it and a0 .*images: 20 and 40; data: \w+ and \w+", printed)


def test_every_model_is_checked_before_the_first_is_measured(here, capsys):
    (here / "b" / "config.json").write_text(
        json.dumps({"model": "preact_resnet18", "kwargs": KWARGS | {"num_classes": 3}})
    )
    model = build_network("preact_resnet18", **KWARGS | {"num_classes": 3})
    save_file(model.state_dict(), here / "b" / "model.safetensors")
    with pytest.raises(SystemExit, match="labels span 0 to 3, but the model tells 3"):
        _evaluate("--scores", "clean")
    assert not list((here / "evaluations").iterdir())


def test_corrupt_writes_the_layout_of_cifar_10_c(here, capsys):
    main(["corrupt", "--data", "test.safetensors", "--output-dir", "c", "--images", "6",
          "--corruptions", "fog", "contrast", "--seed", "3"])  # fmt: skip
    assert {path.name for path in (here / "c").iterdir()} == {
        "fog.npy", "contrast.npy", "labels.npy", "origin.json",
    }  # fmt: skip
    assert "2 corruptions of 6 images" in capsys.readouterr().out
    written = np.load(here / "c" / "fog.npy")
    assert written.shape == (30, 16, 16, 3)
    clean = load_images("test.safetensors", count=6).pixels
    expected = (corrupt(clean, "fog", 2, seed=3) * 255).round().byte()
    assert np.array_equal(written[6:12], expected.movedim(1, -1).numpy())


@pytest.mark.parametrize("labels", ["data", "model"])
def test_profile_prints_and_draws(here, capsys, labels):
    main(["profile", "a0", "b", "--data", "test.safetensors", "--points", "clean", "random",
          "adversarial", "--images", "16", "--labels", labels])  # fmt: skip
    printed = capsys.readouterr().out
    content = json.loads((here / "profiles" / "profile.json").read_text())
    assert [entry["whose"] for entry in content] == ["test.safetensors"] + 3 * ["a0"] + 3 * ["b"]
    for entry in content:
        assert f"{entry['log_b_low']['one quadrant']:.2f}" in printed
        assert entry["images"] == 16
        assert np.shape(entry["spectrum"]) == (9, 9)
        assert np.sum(entry["shares"]) == pytest.approx(1)
        for share in entry["share_by_band"].values():
            assert f"{100 * share:.1f}" in printed
    for name in ("spectra", "gradients", "shares"):
        assert (here / "profiles" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("source", "name"),
    [("runs/jafr", "runs-jafr"), ("runs/jafr-/", "runs-jafr-"), ("../x/b", "x-b"), ("~/x", "x")],
)
def test_files_are_named_after_what_they_are_about(source, name):
    assert file_name(source) == name


def test_names_of_files_are_not_too_long(tmp_path):
    source = f"/{'x' * 200}/{'é' * 120}/mine"
    name = file_name(source)
    assert name.endswith("é-mine")
    (tmp_path / f"heat-map-{name}.jsonl.part").touch()


def test_profile_measures_heat_maps_and_goes_on_where_they_stopped(here):
    def heat_map() -> None:
        main(["profile", "a0", "b", "--data", "test.safetensors", "--images", "8", "--image-size",
              "6", "--heat-map", "--heat-map-norm", "1"])  # fmt: skip

    heat_map()
    drawn = (here / "profiles" / "heat-maps.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    journal = here / "profiles" / "heat-map-b.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("".join(f"{line}\n" for line in lines[:2]))
    (here / "profiles" / "heat-maps.png").unlink()
    heat_map()
    assert journal.read_text().splitlines() == lines
    assert (here / "profiles" / "heat-maps.png").read_bytes() == drawn
    model, found = load_model("b").model, load_images("test.safetensors", count=8, image_size=6)
    expected = fourier_heat_map(model, found.pixels, found.labels, norm=1, batch_size=64)
    errors = {name: error for line in lines[1:] for name, error in json.loads(line).items()}
    assert errors["1,2"] == expected[3 + 1, 3 + 2]
    *_, kept = json.loads((here / "profiles" / "heat-maps.json").read_text())
    assert (kept["about"]["model"], kept["about"]["images"], kept["norm"]) == ("b", 8, 1)
    assert kept["errors"] == expected.tolist()


def test_models_of_the_same_folder_name_are_told_apart(here, capsys):
    sources = ["x/1/last", "y/1/last", "b"]
    for seed, source in enumerate(sources[:2], 1):
        _save_run(here / source, "jafr", seed)
    main(["profile", *sources, "--data", "test.safetensors", "--images", "8"])
    content = json.loads((here / "profiles" / "profile.json").read_text())
    assert [entry["whose"] for entry in content[1:]] == sources
    printed = capsys.readouterr().out
    assert len({entry["log_b_low"]["one quadrant"] for entry in content}) == 4
    assert all(f" {name} " in printed for name in (*sources, "test.safetensors"))


def test_a_panel_is_of_the_first_image_at_the_point_that_its_spectrum_is_of(here, monkeypatch):
    panels, labelled = [], []
    labels_of = Profile._labels
    monkeypatch.setattr(
        Profile,
        "_labels",
        lambda self, loaded, found: labelled.append(len(found)) or labels_of(self, loaded, found),
    )
    monkeypatch.setattr(
        "freqreg.cli.profile.gradient_figure",
        lambda found, **_: panels.extend(found) or Figure(),
    )
    main(["profile", "b", "--data", "test.safetensors", "--images", "16", "--points",
          "adversarial", "clean", "--labels", "model"])  # fmt: skip
    assert labelled == [16, 1]
    image = load_images("test.safetensors", count=1).pixels / 255
    model = load_model("b").model
    label, attack = model(image).argmax(1), PGDAttack(8 / 255, steps=10, restarts=1)
    (expected,) = input_gradients(model, [(attack.run(model, image, label).images, label)])
    (clean,) = input_gradients(model, [(image, label)])
    (panel,) = panels
    assert torch.equal(panel.gradient, expected[0])
    assert not torch.equal(panel.gradient, clean[0])


@pytest.mark.parametrize(
    ("options", "checked", "blocked"),
    [
        ("", "jafr", True),
        ("--lambda-fourier 0.5 --favour high", "fourier_sensitivity", True),
        (
            "--lambda-freq 1 --lambda-fourier 0.5 --no-fused-attention",
            "jafr and fourier_sensitivity",
            False,
        ),
    ],
)
def test_check_reports_on_a_model_of_timm(capsys, options, checked, blocked):
    main(["check", "timm/test_vit", "--batch-size", "2", "--device", "cpu", *options.split()])
    printed = capsys.readouterr().out
    assert printed.startswith(f"VisionTransformer, 2 images of 3x160x160, {checked}\n")
    assert ("fused attention in blocks.0.attn (Attention)" in printed) == blocked


def test_profile_of_data_alone(here, capsys):
    main(["profile", "--data", "test.safetensors"])
    assert "images" in capsys.readouterr().out
    assert not (here / "profiles" / "gradients.png").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["evaluate", "--data", "test.safetensors"], "No model was given"),
        (["evaluate", "nowhere", "--data", "test.safetensors"], r"There is no nowhere.config.json"),
        (["evaluate", "b", "--data", "other.safetensors"], "no images at other.safetensors"),
        (["evaluate", "b", "--data", "test.safetensors", "--scores", "x"], "There is no score 'x'"),
        (["evaluate", "b", "--data", "test.safetensors", "--eps-255", "-1"],
         r"eps_255 is -1; .* from 0 to 255"),
        (["evaluate", "b", "--data", "test.safetensors", "--eps-255", "0.03"], r"give 7\.65"),
        (["evaluate", "b", "--data", "test.safetensors", "--eps-255", "300"], "from 0 to 255"),
        (["profile", "b", "--data", "test.safetensors", "--eps-255", "300"], "from 0 to 255"),
        (["evaluate", "b", "--data", "test.safetensors", "--images", "-5"], "images is -5"),
        (["evaluate", "b", "--data", "test.safetensors", "--device", "cuda:77"],
         "The device 'cuda:77' cannot be used"),
        (["evaluate", "b", "--data", "test.safetensors", "--scores", "recalibrated/fog"],
         r"test.safetensors has no split train .*no splits at all.*--train-data"),
        (["evaluate", "b", "--data", "test.safetensors", "--output-dir", "test.safetensors/x"],
         "Nothing can be written into test.safetensors.x"),
        (["evaluate", "b", "--data", "test.safetensors", "--output-dir", "/proc/x"],
         "Nothing can be written into"),
        (["profile", "b", "--data", "test.safetensors", "--output-dir", "/proc/x"],
         "Nothing can be written into"),
        (["corrupt", "--data", "test.safetensors", "--output-dir", "/proc/x"],
         "Nothing can be written into"),
        (["report", ".", "--output-dir", "/proc/x"], "Nothing can be written into"),
        (["evaluate", "../x/b", "x/b", "--data", "test.safetensors"],
         r"scores of \.\./x/b and of x/b would both go to evaluations.x-b.json"),
        (["evaluate", "b", "--data", "test.safetensors", "--baseline", "c"],
         "baseline c is not in evaluations, which has b"),
        (["evaluate", "b", "--data", "test.safetensors", "--scores", "clean", "transfer"],
         "--transfer-from"),
        (["evaluate", "timm/resnet1", "--data", "test.safetensors"], "Close to it: resnet18"),
        (["profile", "--data", "test.safetensors", "--images", "0"], "images is 0"),
        (["profile", "--data", "test.safetensors", "--batch-size", "0"], "batch_size is 0"),
        (["profile", "b", "--data", "test.safetensors", "--points", "random",
          "--eps-255", "0.03"], r"give 7\.65"),
        (["profile", "--data", "test.safetensors", "--heat-map"], "name a model"),
        (["check", "timm/test_vit", "--device", "nowhere"], "'nowhere' cannot be used"),
        (["corrupt", "--data", "test.safetensors", "--output-dir", "c", "--corruptions", "fogg"],
         "Did you mean fog"),
    ],
)  # fmt: skip
def test_errors_are_one_line_that_says_what_to_do(here, arguments, complaint):
    with pytest.raises(SystemExit, match=complaint):
        main(arguments)


FOREIGN = {
    "report.md": (["report", "evaluations", "--output-dir", "."], "holds report.md, which"),
    "shares.png": (["profile", "b", "--data", "test.safetensors", "--output-dir", "."],
                   "holds shares.png, which"),
    "heat-map-b.jsonl": (["profile", "b", "--data", "test.safetensors", "--image-size", "6",
                          "--output-dir", ".", "--heat-map"], "holds other lines"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_are_left_alone(here, name):
    arguments, complaint = FOREIGN[name]
    (here / "evaluations").mkdir()
    (here / name).write_text("mine")
    with pytest.raises(SystemExit, match=complaint):
        main(arguments)
    assert (here / name).read_text() == "mine"


def test_a_folder_in_place_of_the_table_is_refused(here):
    (here / "evaluations" / "scores.csv").mkdir(parents=True)
    with pytest.raises(SystemExit, match="no table of scores"):
        main(["evaluate", "b", "--data", "test.safetensors"])


def test_help_reads_like_documentation(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "freqreg evaluate runs/cifar10/mini-jafr-seed0 --data uoft-cs/cifar10" in printed
    assert "--corruptions-from" in printed


def test_the_package_is_a_program_whose_help_does_not_wait_for_what_only_tables_need():
    command = [sys.executable, "-X", "importtime", "-m", "freqreg", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "evaluate" in shown.stdout
    imported = {line.split()[-1] for line in shown.stderr.splitlines()}
    assert {"torch", "pandas", "jinja2"} & imported == {"torch"}


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tyro", None)
    with pytest.raises(SystemExit, match=r'pip install "freqreg\[eval\]"'):
        main(["evaluate", "--help"])
