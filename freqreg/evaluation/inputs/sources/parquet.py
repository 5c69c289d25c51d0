"""Parquet files as they lie on the hub: CONFIG/SPLIT-00000-of-00001.parquet."""

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

from freqreg.evaluation.inputs.sources.base import (
    UNNAMED,
    ImagesError,
    Parts,
    Wanted,
    is_split,
    is_visible,
    stamps,
)
from freqreg.evaluation.inputs.sources.tables import Table, parts_of

Files = Mapping[str, list[Path]]
"""By split."""
ENDING = ".parquet"
WITHOUT_NAME = ("", ".", "data", "default")
"""Configurations of data sets that have one only."""


def parts(place: Path, wanted: Wanted) -> Parts | None:
    """The splits of a folder with parquet files, or of one file; None where there are none."""
    if place.is_file():
        return parts_of({UNNAMED: partial(_table, str(place), [place])}, wanted)
    files = sorted(_below(place))
    if not files:
        return None
    chosen = _config(_declared(place, files) or _by_folder(place, files), wanted.config, place)
    return parts_of(
        {split: partial(_table, str(place), paths) for split, paths in chosen.items()}, wanted
    )


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = filter(is_visible, folders)
        yield from (Path(root, n) for n in names if n.lower().endswith(ENDING) and is_visible(n))


def _config(configs: Mapping[str, Files], name: str | None, place: Path) -> Files:
    if name in configs:
        return configs[str(name)]
    only = next(iter(configs))
    if len(configs) == 1 and (name is None or only in WITHOUT_NAME):
        return configs[only]
    raise ImagesError(
        f"{place} has the configurations {', '.join(configs)}, "
        f"{'and none was named' if name is None else f'but no {name!r}'}. Name one of them (on "
        "the command line --config)."
    )


def _declared(place: Path, files: Sequence[Path]) -> dict[str, Files]:
    """The configurations that the README of a repository declares."""
    card = place / "README.md"
    if not card.is_file():
        return {}
    from huggingface_hub import metadata_load

    found: dict[str, Files] = {}
    for config in (metadata_load(card) or {}).get("configs") or ():
        entries = config.get("data_files") or ()
        for entry in [entries] if isinstance(entries, str) else entries:
            named = entry if isinstance(entry, dict) else {"split": "", "path": entry}
            held = _matching(files, place, named["path"])
            splits = {named["split"]: held} if named["split"] and held else _by_split(held)
            name = config["config_name"]
            found[name] = {**found.get(name, {}), **splits}
    return {name: splits for name, splits in found.items() if splits}


def _matching(files: Sequence[Path], place: Path, patterns: str | list[str]) -> list[Path]:
    listed = [patterns] if isinstance(patterns, str) else patterns
    names = {file: file.relative_to(place).as_posix() for file in files}
    alike = [pattern.removeprefix("./") for pattern in listed]
    return [file for file, name in names.items() if any(fnmatchcase(name, p) for p in alike)]


def _by_folder(place: Path, files: Sequence[Path]) -> dict[str, Files]:
    """Folders that hold the same splits are configurations."""
    folders: dict[str, list[Path]] = {}
    for file in files:
        folder = file.parent.parent if is_split(file.parent.name) else file.parent
        inside = folder.is_relative_to(place)  # not so where a split's own folder was given
        folders.setdefault(folder.relative_to(place).as_posix() if inside else ".", []).append(file)
    configs = {name: _by_split(held) for name, held in folders.items()}
    splits = [split for held in configs.values() for split in held]
    return configs if len(set(splits)) < len(splits) else {".": _by_split(files)}


def _by_split(files: Sequence[Path]) -> Files:
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_split_of(file), []).append(file)
    return found


def _split_of(file: Path) -> str:
    """By the whole name before a shard's number, else by the folder's."""
    if shard := re.fullmatch(r"(.+?)-\d{5}-of-\d{5}.*", file.stem):
        return shard[1]
    bare = re.sub(r"[-_.]?\d*$", "", file.stem)
    return next((name for name in (bare, file.parent.name) if is_split(name)), UNNAMED)


def _table(name: str, paths: Sequence[Path]) -> Table:
    from datasets import Features
    from pyarrow import chunked_array

    files = [_opened(path) for path in paths]
    groups = [(file, group) for file in files for group in range(file.num_row_groups)]
    sizes = [file.metadata.row_group(group).num_rows for file, group in groups]
    starts, lock = list(accumulate(sizes, initial=0)), Lock()

    @lru_cache(2 * (os.cpu_count() or 1))
    def group_of(number: int, column: str) -> Any:
        file, group = groups[number]
        return file.read_row_group(group, columns=[column])[column]

    def cells(column: str, rows: Sequence[int]) -> Iterator[Any]:
        number = 0
        for row in rows:
            if not starts[number] <= row < starts[number + 1]:
                number = bisect_right(starts, row) - 1
            with lock:
                values = group_of(number, column)
            yield values[row - starts[number]].as_py()

    def column(name: str) -> Any:
        chunks = [c for file in files for c in file.read(columns=[name])[name].chunks]
        return chunked_array(chunks, files[0].schema_arrow.field(name).type)

    features = Features.from_arrow_schema(files[0].schema_arrow)
    return Table(name, features, column, cells, stamps(paths))


def _opened(path: Path) -> Any:
    from pyarrow import ArrowException, parquet

    try:
        return parquet.ParquetFile(path)
    except (ArrowException, OSError) as error:
        raise ImagesError(
            f"{path} ({path.stat().st_size} bytes) is not a whole parquet file: {error}. Fetch it "
            "again."
        ) from error
