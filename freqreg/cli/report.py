"""`freqreg report`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from freqreg._files import require_own
from freqreg.cli.shared import CheckpointOptions, DataOptions


@dataclass(frozen=True, kw_only=True)
class Report(DataOptions, CheckpointOptions):
    """Show all that was measured beside the paper's figures, on a page of HTML and in Markdown.

    The page has Tables 1 to 6 in the paper's layout, with its figures and the differences to them;
    spectra and pictures of input gradients; gains and losses by the frequency of corruptions;
    robustness against ε; collapse; and calibration. It names what was not measured.

    freqreg report evaluations --data uoft-cs/cifar10

    freqreg report runs/cifar10 evaluations --output-dir report

    Args:
        runs: Folders that freqreg evaluate wrote into, run folders of recipes, or single JSON files
            of either; and folders of freqreg profile, for the models' heat maps.
        data: The test set, given as for evaluate. Spectra and pictures of input gradients that are
            not stored yet are measured on it; None: they are left out.
        output_dir: Folder of report.html, report.md and the figures of report.md.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    data: str | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    output_dir: Path = Path("report")

    def __call__(self) -> None:
        """Read the runs, write the page and print where it is."""
        # pandas takes half a second to import: the other commands do not wait for it
        from freqreg.evaluation.processes import from_main, is_main
        from freqreg.evaluation.report.measuring import with_portraits
        from freqreg.evaluation.report.page import FIGURES, HTML, MARKDOWN, write_report
        from freqreg.evaluation.report.runs import read_runs

        from_main(lambda: require_own(self.output_dir, (HTML, MARKDOWN, FIGURES)))
        runs = from_main(lambda: read_runs(self.runs))
        if self.data is not None:
            runs = with_portraits(runs, self.load, network=self.model, ema=self.ema)
        if is_main():
            write_report(runs, self.output_dir)
        counted = f"{len(runs)} model{'s' if len(runs) > 1 else ''}"
        print(f"{counted}: {self.output_dir / HTML} and {self.output_dir / MARKDOWN}")
