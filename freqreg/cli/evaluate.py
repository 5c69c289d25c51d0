"""`freqreg evaluate`."""

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import tyro
from rich.console import Console

from freqreg.cli.shared import file_name, images_for, load_models, pixel_radius
from freqreg.errors import SettingError
from freqreg.evaluation.benchmark.evaluate import evaluate
from freqreg.evaluation.benchmark.settings import PRESETS, EvaluationSettings, Preset
from freqreg.evaluation.benchmark.task import EvaluationTask
from freqreg.evaluation.corruptions.opening import open_corrupted
from freqreg.evaluation.inputs.examples import Images
from freqreg.evaluation.inputs.images import split_names
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.results.records import Entry, ModelScores, load_all, save_table
from freqreg.evaluation.results.summary import summary_rows
from freqreg.evaluation.results.terminal_tables import score_table, seed_table

DEFAULT_SCORES: dict[Preset, tuple[str, ...]] = {
    "smoke": ("clean", "fgsm", "pgd", "noise", "log_b_low", "fourier_sensitivity"),
    "mini": (
        *("clean", "fgsm", "pgd", "cw", "noise", "curve", "log_b_low", "fourier_sensitivity"),
        "corruptions",
    ),
    "paper": (
        "clean",
        "fgsm",
        "pgd",
        "pgd-max-loss",
        "cw",
        "noise",
        "curve",
        "log_b_low",
        "fourier_sensitivity",
        "corruptions",
        "square",
        "autoattack",
    ),
}
TABLE = "scores.csv"


@dataclass(frozen=True)
class Evaluate:
    """Measure what image classifiers withstand: attacks, corruptions, noise; and log B_low.

    Each score is kept as soon as it is measured, in one JSON file for each model with the
    settings and versions behind it, and in scores.csv over all; the same command again does
    what is missing. What was measured of other weights, of other images or with other settings
    is refused before anything is measured: name another --output-dir, or give --replace.

    freqreg evaluate runs/cifar10/mini-jafr-seed0 --data uoft-cs/cifar10

    freqreg evaluate timm/resnet18 --data my-images --scores clean fgsm corruptions

    Args:
        models: Folders of runs (model.safetensors and config.json), or timm/NAME.
        data: The test set: a data set of the hub (owner/name), a local folder, or a .safetensors
            file with uint8 pixels and labels.
        preset: paper: all that the paper and reviewers of defences ask for (a GPU and hours); mini:
            minutes on two cores; smoke: seconds, to see that it works.
        scores: What to measure: clean, fgsm, pgd, pgd-max-loss, cw, autoattack, square, transfer,
            noise, curve, log_b_low, fourier_sensitivity, corruptions, recalibrated, or a single one
            such as corruption/fog. None given: those of the preset.
        output_dir: Where the JSON files and scores.csv go.
        replace: Measure anew what is there of other weights, images or settings, instead of
            refusing; what is there of it is lost.
        split: The part of the data set to evaluate on.
        images: Evaluate on so many images; None: all.
        image_size: Resize and crop to so many pixels; None: what the model was trained on, where
            known, else as they are.
        device: cpu, cuda, cuda:1, ...; None: a GPU if there is one.
        transfer_from: Another model, whose adversarial images are tried as well.
        corruptions_from: Corrupted test images: the folder of CIFAR-10-C or Tiny ImageNet-C, or a
            repository of the hub; None: made here. As many are taken as would be made.
        train_data: Where the score recalibrated takes clean train images from; None: the split
            train of data.
        baseline: The model that mCE is relative to, one of those in output_dir; None: the first
            given.
        eps_255: Radius of all attacks in steps of 1/255; None: 8.
        seed: Of every random number of the evaluation.
        batch_size: Images in one forward pass; None: the preset's, as for what follows.
        attack_steps: Steps of PGD and CW.
        attack_restarts: Restarts of PGD and CW.
        attacked_images: Images that PGD, CW, AutoAttack, Square and transfer attack.
        corrupted_images: Images of each corruption and severity.
    """

    models: tyro.conf.Positional[tuple[str, ...]]
    data: str
    preset: Preset = "mini"
    scores: tuple[str, ...] = ()
    output_dir: Path = Path("evaluations")
    replace: bool = False
    split: str = "test"
    images: int | None = None
    image_size: int | None = None
    device: str | None = None
    transfer_from: str | None = None
    corruptions_from: str | None = None
    train_data: str | None = None
    baseline: str | None = None
    eps_255: float | None = None
    seed: int = 0
    batch_size: int | None = None
    attack_steps: int | None = None
    attack_restarts: int | None = None
    attacked_images: int | None = None
    corrupted_images: int | None = None

    def __call__(self) -> None:
        """Evaluate each model and print the tables."""
        if not self.models:
            raise SettingError("No model was given: name folders of runs, or timm/NAME.")
        console = Console()
        settings, models = self.settings(), load_models(self.models, self.device)
        records = [self._evaluated(loaded, settings, console) for loaded in models]
        baseline = self._baseline(records)
        everything = load_all(self.output_dir)
        rows = [(*record.rows(), *summary_rows(record, baseline)) for record in everything]
        save_table(self.output_dir / TABLE, chain.from_iterable(rows))
        for table in (score_table(records, baseline), seed_table(records, baseline)):
            if table is not None:
                console.print(table)
        console.print(f"Accuracies in percent. All numbers are in {self.output_dir / TABLE}.")

    def settings(self) -> EvaluationSettings:
        """The preset's settings, and what was given instead."""
        given = {
            "eps": None if self.eps_255 is None else pixel_radius(self.eps_255),
            "batch_size": self.batch_size,
            "attack_steps": self.attack_steps,
            "attack_restarts": self.attack_restarts,
            "attacked_images": self.attacked_images,
            "corrupted_images": self.corrupted_images,
            "corruptions_from": self.corruptions_from,
            "transfer_from": self.transfer_from,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        return replace(PRESETS[self.preset], seed=self.seed, **changes)

    def score_names(self) -> tuple[str, ...]:
        """What is measured."""
        transfer = ("transfer",) if self.transfer_from else ()
        return self.scores or DEFAULT_SCORES[self.preset] + transfer

    def _evaluated(
        self, loaded: LoadedModel, settings: EvaluationSettings, console: Console
    ) -> ModelScores:
        console.print(f"[bold]{loaded.source}[/bold]")

        def report(name: str, entry: Entry) -> None:
            numbers = "  ".join(f"{part} {value:.4g}" for part, value in entry.values.items())
            console.print(f"  {name}: {numbers}  ({entry.seconds:.0f} s)", highlight=False)

        return evaluate(
            loaded,
            self._subject(loaded, settings),
            self.score_names(),
            settings,
            file=self.output_dir / f"{file_name(loaded.source)}.json",
            replace=self.replace,
            report=report,
        )

    def _subject(self, loaded: LoadedModel, settings: EvaluationSettings) -> EvaluationTask:
        test = images_for(
            [loaded], self.data, split=self.split, count=self.images, image_size=self.image_size
        )
        source, corruptions = self.transfer_from, self.corruptions_from
        return EvaluationTask(
            loaded.model,
            test.images,
            test.labels,
            load_models((source,), self.device)[0].model if source else None,
            self._train_images(loaded, settings),
            open_corrupted(corruptions) if corruptions else None,
        )

    def _train_images(self, loaded: LoadedModel, settings: EvaluationSettings) -> Images | None:
        if not any(name.startswith("recalibrated") for name in self.score_names()):
            return None
        if self.train_data is None:
            _require_train_split(self.data)
        return images_for(
            [loaded],
            self.train_data or self.data,
            split="train",
            count=settings.recalibration_images,
            image_size=self.image_size,
        ).images

    def _baseline(self, records: list[ModelScores]) -> ModelScores:
        if self.baseline is None:
            return records[0]
        known = {record.model: record for record in load_all(self.output_dir)}
        if self.baseline not in known:
            raise SettingError(
                f"The baseline {self.baseline} is not in {self.output_dir}, which has "
                f"{', '.join(known)}. Evaluate it first, by the same name."
            )
        return known[self.baseline]


def _require_train_split(data: str) -> None:
    """Raise where the only images of `data` are those that are evaluated on."""
    names = split_names(data)
    if len(names) < 2 or "train" not in names:
        raise SettingError(
            f"The scores recalibrated/... take clean train images, but {data} has no split train "
            f"beside another ({', '.join(names) or 'no splits at all'}). Say where they are: "
            "--train-data."
        )
