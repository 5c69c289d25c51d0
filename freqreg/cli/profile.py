"""`freqreg profile`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from torch import Tensor

from freqreg._files import require_own, write_text
from freqreg._settings import require_count
from freqreg.cli.profile_output import IMAGES, Profiles, as_json, curves, tables
from freqreg.cli.shared import CheckpointOptions, DataOptions, file_name, pixel_radius
from freqreg.errors import SettingError
from freqreg.evaluation.attacks.pgd import PGDAttack
from freqreg.evaluation.corruptions.corruption import saved
from freqreg.evaluation.corruptions.names import SavedAs
from freqreg.evaluation.inputs.class_names import examples_for
from freqreg.evaluation.inputs.labelled_images import LabelledImages
from freqreg.evaluation.inputs.models import LoadedModel
from freqreg.evaluation.inputs.opening import load_models
from freqreg.evaluation.inputs.streaming import read
from freqreg.evaluation.metrics.accuracy import logits_of
from freqreg.evaluation.metrics.filtered_noise import uniform_noise
from freqreg.evaluation.metrics.fourier_heat_map import fourier_heat_map
from freqreg.evaluation.metrics.frequency_profile import (
    gradient_profile,
    image_profile,
    input_gradients,
)
from freqreg.evaluation.plots import (
    GradientPanel,
    gradient_figure,
    heat_map_figure,
    png,
    shares_figure,
    spectra_figure,
)
from freqreg.evaluation.processes import Share, from_main, is_main
from freqreg.evaluation.results import heat_maps
from freqreg.evaluation.results.digests import identity
from freqreg.evaluation.results.seeds import short_names

NUMBERS, SPECTRA, SHARES = "profile.json", "spectra.png", "shares.png"
GRADIENTS, HEAT_MAPS = "gradients.png", "heat-maps.png"
Where = Literal["clean", "random", "adversarial"]
Shown = dict[LoadedModel, LabelledImages]
"""The images in the form in which each model takes them."""


@dataclass(frozen=True, kw_only=True)
class Profile(DataOptions, CheckpointOptions):
    """Measure the frequency profile of a data set, and of models' input gradients J on it.

    The command prints log B_low of each (the higher, the more low frequencies dominate; 3.53 for
    white noise of 32 x 32 pixels) and the share of power at low, middle and high radii. It writes
    profile.json, spectra.png (mean spectra), shares.png (share of power against radius) and
    gradients.png (J of one image).

    freqreg profile timm/resnet18 --data my-images

    freqreg profile runs/cifar10/mini-jafr-seed0 --data uoft-cs/cifar10 --points clean adversarial

    Args:
        models: Folders of runs (model.safetensors and config.json) or of transformers, timm/NAME,
            hf-hub:OWNER/NAME, local-dir:FOLDER, or files of weights; none: the data alone.
        points: Points at which J is computed: the images, random points around them, or adversarial
            ones.
        labels: Classes in the loss behind J: the data's, or the model's own predictions (for models
            of other classes).
        heat_map: Also measure how often each model errs under noise of each single frequency
            (heat-maps.png, and heat-maps.json for freqreg report). It takes about half as many
            passes over the images as they have pixels. Results are written line by line to
            heat-map-MODEL.jsonl, and the same command again continues.
        heat_map_norm: L2 norm of that noise in each channel, in pixels of [0, 1]; the reference
            uses 4 at 32 x 32 pixels and 15.7 at 224 x 224.
        output_dir: Folder of the files.
        images: Number of images; None: all.
        eps_255: Largest distance of random and adversarial points, in steps of 1/255.
        batch_size: Images in one pass.
        saved_as: jpeg85: first save the images as JPEG of quality 85 and read them again, as the
            released files of ImageNet-C and Tiny ImageNet-C were.
        seed: Seed of the random points and of the attack's starts.
        device: cpu, cuda, cuda:1, ...; None: a GPU if there is one.
    """

    models: tyro.conf.Positional[tuple[str, ...]]
    points: tuple[Where, ...] = ("clean",)
    labels: Literal["data", "model"] = "data"
    heat_map: bool = False
    heat_map_norm: float = 4.0
    output_dir: Path = Path("profiles")
    images: int | None = 1000
    saved_as: SavedAs = None
    eps_255: float = 8
    batch_size: int = 64
    seed: int = 0
    device: str | None = None

    def __call__(self) -> None:
        """Measure, print and draw."""
        require_count(batch_size=self.batch_size)
        pixel_radius(self.eps_255)
        if self.heat_map and not self.models:
            raise SettingError("A heat map is of a model's errors: name a model.")
        from_main(lambda: require_own(self.output_dir, self._written()))
        models = load_models(self.models, self.device, network=self.model, ema=self.ema)
        found = self._images(models)
        shown = {loaded: self._images([loaded, *models]) for loaded in models}
        profiles = self.profiles(shown, found)
        if is_main():
            Console().print(*tables(profiles))
            write_text(self.output_dir / NUMBERS, as_json(profiles, self.saved_as))
            self._draw(profiles, shown, found)
        if self.heat_map:
            self._draw_heat_maps(profiles, shown)
        print(f"Figures and numbers are in {self.output_dir}.")

    def _written(self) -> tuple[str, ...]:
        """Return the names of the files, but of those that say what they are about."""
        of_models = (GRADIENTS,) if self.models else ()
        of_maps = (HEAT_MAPS, heat_maps.FILE) if self.heat_map else ()
        return (NUMBERS, SPECTRA, SHARES, *of_models, *of_maps)

    def profiles(self, shown: Shown, found: LabelledImages) -> Profiles:
        """Profile the images `found`, and each model's J at each kind of points."""
        share = Share.of(len(found))
        pixels = (some.pixels for some in found.batches(self.batch_size, share.rows))
        profiles: Profiles = {(IMAGES, self.data): image_profile(pixels, share=share)}
        for loaded, images in shown.items():
            known = replace(images, labels=self._labels(loaded, images))
            for where in self.points:
                batches = self._points(where, loaded, known.batches(self.batch_size, share.rows))
                profile = gradient_profile(loaded.model, batches, share=share)
                profiles[f"J, {where}", loaded.source] = profile
        return profiles

    def _images(self, models: Sequence[LoadedModel]) -> LabelledImages:
        found = self.load(models, count=self.images)
        if self.saved_as is None:
            return found
        if found.pixels.shape[1] != 3:
            raise SettingError("Only RGB images are saved as JPEG. Leave out --saved-as.")
        parts = read(found.pixels, self.batch_size)
        pixels = torch.cat([saved(part.float(), self.saved_as).byte() for part in parts])
        return replace(found, pixels=pixels)

    def _labels(self, loaded: LoadedModel, found: LabelledImages) -> Tensor:
        if self.labels == "data":
            return examples_for(loaded, found).labels
        nothing = torch.zeros_like(found.labels)
        size, share = self.batch_size, Share.of(len(found))
        logits = logits_of(loaded.model, found.pixels, nothing, batch_size=size, share=share)
        return logits.argmax(1).cpu()

    def _points(
        self, where: Where, loaded: LoadedModel, batches: Iterable[LabelledImages]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield points and labels. The images' places in the data set key the random numbers."""
        eps = pixel_radius(self.eps_255)
        attack = PGDAttack(eps, steps=10, restarts=1)
        for batch in batches:
            x, y, keyed = batch.pixels, batch.labels, {"seed": self.seed, "index": batch.index}
            if where == "random":
                x = uniform_noise(x, eps, **keyed)
            elif where == "adversarial":
                x = attack.run(loaded.model, x, y, **keyed).images
            yield x, y

    def _draw(self, profiles: Profiles, shown: Shown, found: LabelledImages) -> None:
        rows: dict[str, dict[str, Tensor]] = {}
        names = short_names(source for _, source in profiles)
        for (of, source), profile in profiles.items():
            rows.setdefault(of, {})[names[source]] = profile.spectrum
        self._write(SPECTRA, spectra_figure(rows))
        size = min(found.pixels.shape[-2:])
        self._write(SHARES, shares_figure(curves(profiles, names), size=size))
        if shown:
            panels = [self._panel(loaded, profiles, images) for loaded, images in shown.items()]
            self._write(GRADIENTS, gradient_figure(panels, image=found.pixels[0] / 255))

    def _panel(
        self, loaded: LoadedModel, profiles: Profiles, found: LabelledImages
    ) -> GradientPanel:
        where, first = self.points[0], found.select([0])
        first = replace(first, labels=self._labels(loaded, first))
        (gradient,) = input_gradients(loaded.model, self._points(where, loaded, [first]))
        name, profile = (
            short_names(source for _, source in profiles)[loaded.source],
            profiles[f"J, {where}", loaded.source],
        )
        return GradientPanel(name, profile.spectrum, profile.log_b_low(), gradient[0].cpu())

    def _draw_heat_maps(self, profiles: Profiles, shown: Shown) -> None:
        maps = [self._heat_map(loaded, images) for loaded, images in shown.items()]
        if is_main():
            heat_maps.save(maps, self.output_dir)
            names = short_names(source for _, source in profiles)
            figure = heat_map_figure({names[each.model]: each.errors for each in maps})
            self._write(HEAT_MAPS, figure)

    def _heat_map(self, loaded: LoadedModel, found: LabelledImages) -> heat_maps.HeatMap:
        errors = fourier_heat_map(
            loaded.model,
            found.pixels,
            self._labels(loaded, found),
            norm=self.heat_map_norm,
            seed=self.seed,
            batch_size=self.batch_size,
            file=self.output_dir / f"heat-map-{file_name(loaded.source)}.jsonl",
        )
        return heat_maps.HeatMap(
            about=identity(loaded, found),
            data=self.data,
            labels=self.labels,
            norm=self.heat_map_norm,
            seed=self.seed,
            errors=errors.tolist(),
            saved_as=self.saved_as,
        )

    def _write(self, name: str, figure: Figure) -> None:
        (self.output_dir / name).write_bytes(png(figure))
