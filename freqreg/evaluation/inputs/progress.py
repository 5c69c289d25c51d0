"""Progress of long work, with intermediate results."""

from tqdm.auto import tqdm

from freqreg.evaluation.processes import is_main


def progress_bar(total: int, label: str, *, unit: str = "image") -> tqdm:
    """Draw a bar, in terminals only, that vanishes when done; a context manager."""
    off = None if is_main() else True
    return tqdm(total=total, desc=label, unit=unit, disable=off, leave=False, dynamic_ncols=True)
