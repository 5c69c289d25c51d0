"""`freqreg evaluate`."""

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import tyro
from rich.console import Console

from freqreg._files import require_writable
from freqreg.cli.shared import CheckpointOptions, CorruptionOptions, file_name, pixel_radius
from freqreg.errors import SettingError
from freqreg.evaluation.benchmark.evaluate import evaluate
from freqreg.evaluation.benchmark.settings import PRESETS, EvaluationSettings, Preset
from freqreg.evaluation.corruptions.corrupted_data import CorruptedData, CorruptedOnTheFly
from freqreg.evaluation.corruptions.names import MAIN
from freqreg.evaluation.corruptions.opening import open_corrupted
from freqreg.evaluation.inputs.images import split_names
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.inputs.opening import load_models
from freqreg.evaluation.processes import from_main, is_main
from freqreg.evaluation.results.records import (
    Entry,
    ModelScores,
    load_all,
    require_own_table,
    save_table,
)
from freqreg.evaluation.results.summary import mce_baseline, mean_accuracy, summary_rows, why_no_mce

_FIRST, _PROFILES = ("clean", "fgsm", "pgd"), ("log_b_low", "fourier_sensitivity")
_REST = ("cw", "noise", "curve", *_PROFILES, "corruptions")
DEFAULT_SCORES: dict[Preset, tuple[str, ...]] = {
    "smoke": (*_FIRST, "noise", *_PROFILES),
    "mini": (*_FIRST, *_REST),
    "paper": (*_FIRST, "pgd-max-loss", *_REST, "square", "autoattack"),
}
SETTINGS = (
    *("seed", "saved_as", "amp", "batch_size", "attack_steps", "attack_restarts"),
    *("attacked_images", "corrupted_images"),
)
"""Options that change settings of the same names."""
TABLE = "scores.csv"


@dataclass(frozen=True, kw_only=True)
class Evaluate(CorruptionOptions, CheckpointOptions):
    """Measure accuracy under attacks, corruptions and noise, and log B_low, of image classifiers.

    Each score is written as soon as it is measured: into one JSON file for each model, with the
    settings and versions behind it. scores.csv has the scores of all models. The same command again
    measures what is missing. Scores of other weights, other images or other settings raise an error
    before anything is measured: name another --output-dir, or give --replace.

    freqreg evaluate runs/cifar10/mini-jafr-seed0 --data uoft-cs/cifar10

    freqreg evaluate timm/resnet18 --data my-images --scores clean fgsm corruptions

    Args:
        models: Folders of runs (model.safetensors and config.json) or of transformers, timm/NAME,
            hf-hub:OWNER/NAME, local-dir:FOLDER, or files of weights (.pth.tar, .pth, .safetensors).
        preset: paper: all that the paper and reviewers of defences ask for (a GPU and hours); mini:
            minutes on two cores; smoke: seconds, to see that it works.
        scores: Scores to measure: clean, fgsm, pgd, pgd-max-loss, cw, autoattack, square, transfer,
            noise, curve, log_b_low, fourier_sensitivity, corruptions, recalibrated, or a single one
            such as corruption/fog. None given: those of the preset.
        output_dir: Folder of the JSON files and scores.csv.
        replace: Measure scores of other weights, images or settings anew, instead of raising an
            error. The old ones are lost.
        images: Number of images to evaluate on; None: all.
        device: cpu, cuda, cuda:1, ...; None: a GPU if there is one.
        transfer_from: Another model; the score transfer uses images that are adversarial to it.
        corruptions_from: Corrupted test images: the folder of CIFAR-10-C or Tiny ImageNet-C, or a
            repository of the hub. Only as many are used as would be made. None: they are made.
        train_data: Source of clean train images for the score recalibrated; None: the split train
            of data.
        baseline: The model that mCE is relative to, one of those in output_dir; None: the first
            given of several. For ImageNet's classes it is always AlexNet, as published.
        eps_255: Radius of all attacks in steps of 1/255; None: 8.
        seed: Seed of every random number of the evaluation.
        amp: Measure clean accuracy, noise and corruptions in bfloat16 (autocast). Records say so.
        batch_size: Images in one forward pass; None, here and below: the preset's number.
        attack_steps: Steps of PGD and CW.
        attack_restarts: Restarts of PGD and CW.
        attacked_images: Images that PGD, CW, AutoAttack, Square and transfer attack.
        corrupted_images: Images of each corruption and severity.
    """

    models: tyro.conf.Positional[tuple[str, ...]]
    preset: Preset = "mini"
    scores: tuple[str, ...] = ()
    output_dir: Path = Path("evaluations")
    replace: bool = False
    images: int | None = None
    device: str | None = None
    transfer_from: str | None = None
    corruptions_from: str | None = None
    train_data: str | None = None
    baseline: str | None = None
    eps_255: float | None = None
    seed: int = 0
    amp: bool = False
    batch_size: int | None = None
    attack_steps: int | None = None
    attack_restarts: int | None = None
    attacked_images: int | None = None
    corrupted_images: int | None = None

    def __call__(self) -> None:
        """Evaluate each model and print the tables."""
        files = from_main(self._files)
        console, settings = Console(), self.settings()
        models = load_models(tuple(files), self.device, network=self.model, ema=self.ema)
        from_main(lambda: self._require_baseline(models))
        source = load_models((self.transfer_from,), self.device)[0] if self.transfer_from else None
        corrupted = self._corrupted()

        def report(name: str, entry: Entry) -> None:
            numbers = "  ".join(f"{part} {value:.4g}" for part, value in entry.values.items())
            console.print(f"  {name}: {numbers}  ({entry.seconds:.0f} s)", highlight=False)

        def evaluated(loaded: LoadedModel, file: Path, *, only_check: bool) -> ModelScores:
            return evaluate(
                loaded,
                self.load([loaded], count=self.images),
                self.score_names(),
                settings=settings,
                file=file,
                replace=self.replace,
                transfer_source=source,
                train_images=self._train_images(loaded, settings),
                corrupted=corrupted,
                only_check=only_check,
                report=report,
            )

        pairs = list(zip(models, files.values(), strict=True))
        for pair in pairs if len(pairs) > 1 else []:  # a single one is checked as it is evaluated
            evaluated(*pair, only_check=True)
        records = []
        for loaded, file in pairs:
            console.print(f"[bold]{loaded.source}[/bold]")
            records.append(evaluated(loaded, file, only_check=False))
        if is_main():
            self._print(records, console)

    def settings(self) -> EvaluationSettings:
        """Return the preset's settings, changed by the options."""
        given = {name: getattr(self, name) for name in SETTINGS}
        given["eps"] = None if self.eps_255 is None else pixel_radius(self.eps_255)
        changes = {name: value for name, value in given.items() if value is not None}
        return replace(PRESETS[self.preset], **changes)

    def score_names(self) -> tuple[str, ...]:
        """Return the names of the scores to measure."""
        transfer = ("transfer",) if self.transfer_from else ()
        return self.scores or DEFAULT_SCORES[self.preset] + transfer

    def _files(self) -> dict[str, Path]:
        """Return the file of each model's scores. Raise unless all can be written."""
        if not self.models:
            raise SettingError("No model was given: name folders of runs, or timm/NAME.")
        require_writable(self.output_dir)
        require_own_table(self.output_dir / TABLE)
        files: dict[Path, str] = {}
        for source in self.models:
            file = self.output_dir / f"{file_name(source)}.json"
            other = files.setdefault(file, source)
            if Path(other) != Path(source):
                raise SettingError(
                    f"The scores of {other} and of {source} would both go to {file}. Evaluate one "
                    "of them with another --output-dir."
                )
        return {source: file for file, source in files.items()}

    def _require_baseline(self, models: list[LoadedModel]) -> None:
        there = [record.model for record in load_all(self.output_dir)]
        known = dict.fromkeys([*there, *(loaded.source for loaded in models)])
        if self.baseline is not None and self.baseline not in known:
            raise SettingError(
                f"The baseline {self.baseline} is not in {self.output_dir}, which has "
                f"{', '.join(known)}. Evaluate it first, by the same name."
            )

    def _corrupted(self) -> CorruptedData | None:
        """Return the corrupted images; None where the images that a model takes are corrupted."""
        if self.corruptions_from:
            if self.corrupted_size:
                raise SettingError("Leave out --corrupted-size, or --corruptions-from.")
            return open_corrupted(self.corruptions_from)
        if self.corrupted_size is None:
            return None
        found = self.to_corrupt(self.images)
        return CorruptedOnTheFly(
            found.pixels, found.labels, self.seed, found.index, saved_as=self.saved_as
        )

    def _train_images(
        self, loaded: LoadedModel, settings: EvaluationSettings
    ) -> LabelledImages | None:
        if not any(name.startswith("recalibrated") for name in self.score_names()):
            return None
        if self.train_data is None:
            names = split_names(self.data, self.config)
            if len(names) < 2 or "train" not in names:
                raise SettingError(
                    f"The scores recalibrated/... take clean train images, but {self.data} has no "
                    f"split train beside another ({', '.join(names) or 'no splits at all'}). Say "
                    "where they are: --train-data."
                )
        data, count = self.train_data or self.data, settings.recalibration_images
        return self.load([loaded], data=data, split="train", count=count)

    def _print(self, records: list[ModelScores], console: Console) -> None:
        # pandas takes a second to import: the other commands do not wait for it
        from freqreg.evaluation.results.terminal_tables import score_table, seed_table

        everything = load_all(self.output_dir)
        known = {record.model: record for record in (*everything, *records)}
        baseline = known[self.baseline or records[0].model]
        rows = [(*record.rows(), *summary_rows(record, baseline)) for record in everything]
        save_table(self.output_dir / TABLE, chain.from_iterable(rows))
        told = baseline if self.baseline or len(records) > 1 else None  # 100 to itself
        for table in (score_table(records, told), seed_table(records, told)):
            if table is not None:
                console.print(table)
        for record in records:
            other = mce_baseline(record, baseline)
            if (told or other is None) and mean_accuracy(record, MAIN) is not None:
                name = other.model if other else "AlexNet, as published"
                reason = why_no_mce(record, other)
                mce = f"no mCE: {reason}" if reason else f"its mCE relative to {name}"
                console.print(f"{record.model} has {mce}.")
        console.print(f"Accuracies in percent. All numbers are in {self.output_dir / TABLE}.")
