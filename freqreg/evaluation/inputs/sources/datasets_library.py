"""What `datasets` reads: its own saved folders, and the hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from freqreg._extras import extra
from freqreg.evaluation.inputs.sources import base
from freqreg.evaluation.inputs.sources.tables import Table, parts_of

STATE = "state.json"
"""By which a split saved by `datasets` is known."""


def parts(folder: Path, wanted: base.Wanted) -> base.Parts | None:
    """The splits of a folder that `save_to_disk` left; None where it is no such folder."""
    if (folder / STATE).is_file():
        splits = {base.UNNAMED: folder}
    else:
        splits = {place.name: place for place in base.visible(folder) if (place / STATE).is_file()}
    return (
        parts_of({name: partial(_saved, place) for name, place in splits.items()}, wanted) or None
    )


def from_hub(name: str, split: str, wanted: base.Wanted) -> base.LazySource:
    """A split of a data set on the hub.

    Raises:
        ImagesError: it is out of reach, or has no such split.
    """

    def table(split: str) -> Table:
        return Table.of(name, datasets_library().load_dataset(name, wanted.config, split=split))

    with _reached(name):
        try:
            found = table(split)
        except ValueError:
            found = table(base.chosen_split(hub_splits(name, wanted.config), split, name))
        return found.source(wanted, lambda: map(table, hub_splits(name, wanted.config)))


def hub_splits(name: str, config: str | None) -> list[str]:
    """The names of the splits of a data set on the hub."""
    with _reached(name):
        return datasets_library().get_dataset_split_names(name, config)


@contextmanager
def _reached(name: str) -> Iterator[None]:
    try:
        yield
    except base.ImagesError:
        raise
    except (OSError, ValueError, IndexError) as error:  # the last of a table without rows
        raise base.ImagesError(
            f"There are no images at {name}: {error}. Give a local copy that is whole, or connect "
            "to the Hugging Face hub (or to a mirror, with HF_ENDPOINT) and name the configuration "
            "where the data set has several (on the command line --config)."
        ) from error


def _saved(folder: Path) -> Table:
    with _reached(str(folder)):
        return Table.of(str(folder), datasets_library().Dataset.load_from_disk(str(folder)))


def datasets_library() -> Any:
    """The package datasets, which is slow to import."""
    with extra("eval", "Reading images needs datasets"):
        import datasets
    return datasets
