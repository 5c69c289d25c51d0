"""Progress of long work, with the numbers as they stand."""

try:
    from tqdm.auto import tqdm
except ImportError as error:
    raise ImportError(
        f'Evaluation needs tqdm ({error}). Install it with: pip install "freqreg[eval]"'
    ) from error


def progress_bar(total: int, label: str, *, unit: str = "image") -> tqdm:
    """A bar that is drawn in terminals only and vanishes when done; a context manager."""
    return tqdm(total=total, desc=label, unit=unit, disable=None, leave=False, dynamic_ncols=True)
