"""`freqreg report`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from freqreg._files import require_writable
from freqreg.cli.shared import DataOptions


@dataclass(frozen=True, kw_only=True)
class Report(DataOptions):
    """Set what was measured beside the paper's figures: a page of HTML, and the same as Markdown.

    Tables 1 to 6 in the paper's layout, with its figures and the differences; spectra and pictures
    of input gradients; gains and losses by the frequency of corruptions; robustness against ε;
    collapse; calibration. What was not measured is named.

    freqreg report evaluations --data uoft-cs/cifar10

    freqreg report runs/cifar10 evaluations --output-dir report

    Args:
        runs: Folders that freqreg evaluate wrote into, folders of recipes' runs, or single JSON
            files of either; and those of freqreg profile, for the models' heat maps.
        data: The test set, as for evaluate, to measure spectra and pictures of input gradients
            that have not been kept; None: they are left out.
        model: The network of models that are files of weights, such as timm/resnet18; None: the one
            that each file names.
        ema: Take the averaged weights of checkpoints.
        output_dir: Where report.html, report.md and the latter's figures go.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    data: str | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    model: str | None = None
    ema: bool = False
    output_dir: Path = Path("report")

    def __call__(self) -> None:
        """Read, write and say where."""
        # imported here, since pandas takes half a second that other commands need not wait
        from freqreg.evaluation.processes import from_main, is_main
        from freqreg.evaluation.report.measuring import with_portraits
        from freqreg.evaluation.report.page import HTML, MARKDOWN, write_report
        from freqreg.evaluation.report.runs import read_runs

        from_main(lambda: require_writable(self.output_dir))
        runs = from_main(lambda: read_runs(self.runs))
        if self.data is not None:
            runs = with_portraits(runs, self.load, network=self.model, ema=self.ema)
        if is_main():
            write_report(runs, self.output_dir)
        print(f"{len(runs)} models: {self.output_dir / HTML} and {self.output_dir / MARKDOWN}")
