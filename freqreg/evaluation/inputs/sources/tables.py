"""Tables of pictures and classes: folders saved by `datasets`, and the hub's data sets.

`datasets` is slow to import, so it is imported on use.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int64
from torch import Tensor

from freqreg._extras import extra
from freqreg.evaluation.inputs.labelled_images import class_numbers
from freqreg.evaluation.inputs.sources import base

if TYPE_CHECKING:
    from datasets import Dataset

LABELS = ("label", "labels", "fine_label", "class", "target", "cls")
"""Columns that hold labels by their names, if no column has the type of labels."""
TEXTS = ("string", "large_string", "string_view")  # pyarrow's types
STATE = "state.json"  # marks a split saved by `datasets`


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of pictures and labels; name and fingerprint are those of a `LazySource`."""

    name: str
    features: Mapping[str, Any]  # the type of each column, by `datasets`
    column: Callable[[str], Any]  # all values of a column, by pyarrow
    cells: Callable[[str, Sequence[int]], Iterable[Any]]  # the values of a column at some rows
    fingerprint: tuple[str, ...] | None
    folder: Path = Path()  # of relative paths of pictures

    @classmethod
    def of(cls, name: str, rows: "Dataset") -> "Table":
        """Make a table of a data set of `datasets`, in any format."""

        def cells(column: str, places: Sequence[int] | slice) -> Any:
            return rows.select_columns(column).with_format("arrow")[places][column]

        files = base.stamps(Path(file["filename"]) for file in rows.cache_files)
        return cls(
            name,
            rows.features,
            partial(cells, places=slice(None)),
            lambda column, places: cells(column, list(places)).to_pylist(),
            (*files, rows._fingerprint) if files else None,
        )

    def source(
        self,
        wanted: base.Wanted,
        every: Callable[[], Iterable["Table"]],
        first: Callable[[], "Table"] | None = None,
    ) -> base.LazySource:
        """Open the pictures and labels.

        Text labels are numbered over the tables of all splits, and named ones as in the `first`.
        """
        from datasets import ClassLabel, Image

        features = self.features.items()
        declared = [name for name, kind in features if isinstance(kind, Image)]
        sizes = {n: len(kind.names) for n, kind in features if isinstance(kind, ClassLabel)}
        most = [name for name, size in sizes.items() if size == max(sizes.values())]
        named = [name for name in LABELS[:2] if name in sizes]
        images = declared or [name for name, kind in features if _may_be_pictures(kind)]
        classes = [*dict.fromkeys(most + named)] or [n for n in LABELS if n in self.features]
        image = self._one(images, wanted.image_column, "images", "--image-column")
        label = self._one(classes, wanted.label_column, "class labels", "--label-column")
        labels, class_names = self._labels(label, every)

        def read(rows: Sequence[int]) -> Iterator[tuple[str, base.Content]]:
            for row, cell in zip(rows, self.cells(image, rows), strict=True):
                yield f"{self.name}, row {row}", _content(cell, self.folder)

        fingerprint = self.fingerprint and (*self.fingerprint, image)
        found = base.LazySource(self.name, labels, class_names, read, fingerprint)
        if first is None or not getattr(self.features[label], "names", None):
            return found
        with suppress(base.ImagesError):  # a split that cannot be read numbers no other
            return found.numbered_by(getattr(first().features.get(label), "names", ()))
        return found

    def _one(self, found: list[str], wanted: str | None, what: str, option: str) -> str:
        if wanted in self.features or (wanted is None and len(found) == 1):
            return wanted or found[0]
        problem = f"{wanted!r} is none" if wanted else f"{len(found)} seem to hold {what}"
        raise base.ImagesError(
            f"{self.name} has the columns {', '.join(self.features)}: {problem}. Needed is one of "
            f"{what}: name it (on the command line {option})."
        )

    def _labels(
        self, name: str, every: Callable[[], Iterable["Table"]]
    ) -> tuple[Int64[Tensor, " images"], tuple[str, ...] | None]:
        from pyarrow import types

        column, names = self.column(name), getattr(self.features[name], "names", None)
        values = column.type.value_type if types.is_dictionary(column.type) else column.type
        if str(values) in TEXTS and not column.null_count:
            texts = {text for table in every() for text in table.column(name).to_pylist()}
            names = sorted(texts - {None})
            return base.numbered(column.to_pylist(), names), tuple(names)
        if column.null_count or not (types.is_integer(column.type) or not len(column)):
            raise base.ImagesError(
                f"The column {name} of {self.name} holds {column.type} with {column.null_count} "
                "values missing; needed is a class number or name for each image. Name the column "
                "of labels (on the command line --label-column)."
            )
        numbers = column.to_numpy().copy() if len(column) else torch.empty(0, dtype=torch.int64)
        return class_numbers(numbers), tuple(names) if names else None


def parts(folder: Path, wanted: base.Wanted) -> base.Parts | None:
    """Return the splits of a folder of `save_to_disk`; None for any other folder."""

    def table(place: Path) -> Table:
        with _reached(place):
            return Table.of(str(place), datasets_library().Dataset.load_from_disk(str(place)))

    saved = [place for place in (folder, *base.visible(folder)) if (place / STATE).is_file()]
    splits = {base.UNNAMED: folder} if folder in saved else {place.name: place for place in saved}
    return parts_of({name: partial(table, place) for name, place in splits.items()}, wanted) or None


def parts_of(tables: Mapping[str, Callable[[], Table]], wanted: base.Wanted) -> base.Parts:
    """Return the splits of a data set, from functions that open the table of each."""

    def opened(split: str) -> base.LazySource:
        every, first = (lambda: (table() for table in tables.values())), min(tables, key=base.rank)
        return tables[split]().source(wanted, every, None if split == first else tables[first])

    return {split: partial(opened, split) for split in tables}


def from_hub(name: str, split: str, wanted: base.Wanted) -> base.LazySource:
    """Open a split of a data set on the hub.

    Raises:
        ImagesError: the data set cannot be reached, or has no such split.
    """

    def table(split: str) -> Table:
        return Table.of(name, datasets_library().load_dataset(name, wanted.config, split=split))

    with _reached(f"{name}, which is no file or folder here"):
        try:
            found = table(split)
        except ValueError:
            found = table(base.chosen_split(hub_splits(name, wanted.config), split, name))
        return found.source(wanted, lambda: map(table, hub_splits(name, wanted.config)))


def hub_splits(name: str, config: str | None) -> list[str]:
    """Return the names of the splits of a data set on the hub."""
    with _reached(f"{name}, which is no file or folder here"):
        return datasets_library().get_dataset_split_names(name, config)


@contextmanager
def _reached(source: object) -> Iterator[None]:
    try:
        yield
    except base.ImagesError:
        raise
    except (OSError, ValueError, IndexError) as error:  # IndexError: a table without rows
        raise base.ImagesError(
            f"There are no images at {source}: {error}. Give a complete local copy, or connect to "
            "the Hugging Face hub (or to a mirror, with HF_ENDPOINT) and name the configuration "
            "if the data set has several (on the command line --config)."
        ) from error


def datasets_library() -> Any:
    """Import the package datasets."""
    with extra("eval", "Reading images needs datasets"):
        import datasets
    return datasets


def _content(cell: Any, folder: Path) -> bytes | Path:
    content = cell if isinstance(cell, dict) else {"bytes": cell}
    return content["bytes"] or (folder / content["path"] if content.get("path") else b"")


def _may_be_pictures(kind: Any) -> bool:
    """Whether a column without the type of images can hold encoded pictures."""
    return "bytes" in kind if isinstance(kind, dict) else "binary" in getattr(kind, "dtype", "")
