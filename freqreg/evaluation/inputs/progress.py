"""Progress of long work, with the numbers as they stand."""

from tqdm.auto import tqdm


def progress_bar(total: int, label: str, *, unit: str = "image") -> tqdm:
    """A bar that is drawn in terminals only and vanishes when done; a context manager."""
    return tqdm(total=total, desc=label, unit=unit, disable=None, leave=False, dynamic_ncols=True)
