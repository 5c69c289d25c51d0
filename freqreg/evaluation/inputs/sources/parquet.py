"""Parquet files in the hub's layout: CONFIG/SPLIT-00000-of-00001.parquet."""

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

from freqreg.evaluation.inputs.sources import base
from freqreg.evaluation.inputs.sources.tables import Table, parts_of

Files = dict[str, list[Path]]  # by split
ENDING, DEPTH = ".parquet", 4
SHARD = re.compile(r"(.+?)-\d{5}-of-(\d{5})")
WITHOUT_NAME = (".", "data", "default")  # the only configuration of a data set


def parts(place: Path, wanted: base.Wanted) -> base.Parts | None:
    """Return the splits of a folder with parquet files, or of one file; None without such files."""
    if place.is_file():
        return parts_of({base.UNNAMED: partial(_table, place, [place])}, wanted)
    files = list(_below(place, DEPTH))
    if not files:
        return None
    configs = _declared(place, files) or _by_folder(place, files)
    chosen = _config(configs, wanted.config, place)
    return parts_of({split: partial(_table, place, held) for split, held in chosen.items()}, wanted)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for name, is_folder in base.inside(folder):
        if name.lower().endswith(ENDING):
            yield folder / name
        elif depth and is_folder:
            yield from _below(folder / name, depth - 1)


def _config(configs: Mapping[str, Files], name: str | None, place: Path) -> Files:
    only = next(iter(configs)) if len(configs) == 1 else None
    if name in configs or (only is not None and (name is None or only in WITHOUT_NAME)):
        return configs[str(name if name in configs else only)]
    raise base.ImagesError(
        f"{place} has the configurations {', '.join(configs)}, "
        f"{'and none was named' if name is None else f'but no {name!r}'}. Name one of them (on "
        "the command line --config)."
    )


def _declared(place: Path, files: Sequence[Path]) -> dict[str, Files]:
    """Return the configurations that a repository's README declares."""
    from huggingface_hub import metadata_load

    card, found = place / "README.md", {}
    names = {file: file.relative_to(place).as_posix() for file in files}
    if not card.is_file():
        return found
    with _named([card]):
        for config in (metadata_load(card) or {}).get("configs") or ():
            for entry in _list(config.get("data_files") or []):
                named = entry if isinstance(entry, dict) else {"path": entry}
                patterns = [pattern.removeprefix("./") for pattern in _list(named["path"])]
                held = [f for f, own in names.items() if any(fnmatchcase(own, p) for p in patterns)]
                splits = {named["split"]: held} if "split" in named else _by_split(held)
                if held:
                    found.setdefault(config.get("config_name", "default"), {}).update(splits)
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _by_folder(place: Path, files: Sequence[Path]) -> dict[str, Files]:
    """Return folders that hold the same splits as configurations, or else all files as one."""
    held: Files = {}
    for file in files:
        folder = file.parent.relative_to(place)
        folder = folder.parent if base.is_split(folder.name) else folder
        held.setdefault(folder.as_posix(), []).append(file)
    configs = {folder: _by_split(inside) for folder, inside in held.items()}
    splits = [split for held in configs.values() for split in held]
    return configs if len(set(splits)) < len(splits) else {".": _by_split(files)}


def _by_split(files: Sequence[Path]) -> Files:
    found: Files = {}
    words = {file: base.split_within(file.stem) for file in files}
    tells_apart = len({*filter(None, words.values())}) > 1  # a single one may be a word like others
    for file in files:
        shard = SHARD.match(file.stem)
        names = (re.sub(r"[-_.]?\d*$", "", file.stem), file.parent.name)
        split = shard[1] if shard else next(filter(base.is_split, names), None)
        split = split or (words[file] if tells_apart else None) or base.UNNAMED
        found.setdefault(split, []).append(file)
    return found


def _table(place: Path, paths: Sequence[Path]) -> Table:
    from datasets import Features
    from pyarrow import chunked_array, parquet

    for path in paths if place.is_dir() else ():
        shard = SHARD.match(path.stem)
        beside = [other for other in paths if shard and other.name.startswith(f"{shard[1]}-")]
        if shard and len(beside) < int(shard[2]):
            raise base.ImagesError(
                f"{path} is one of {int(shard[2])} files of its split; {len(beside)} are there. "
                "Fetch the others too."
            )
    files = []
    for path in paths:
        with _named([path]):
            files.append(parquet.ParquetFile(path))
    schema, lock = files[0].schema_arrow, Lock()
    groups = [(file, group) for file in files for group in range(file.num_row_groups)]
    sizes = (file.metadata.row_group(group).num_rows for file, group in groups)
    starts = list(accumulate(sizes, initial=0))

    @lru_cache(2 * (os.cpu_count() or 1))
    def values_of(group: int, column: str) -> Any:
        file, place = groups[group]
        with _named(paths):
            return file.read_row_group(place, columns=[column])[column]

    def cells(column: str, rows: Sequence[int]) -> Iterator[Any]:
        for row in rows:
            group = bisect_right(starts, row) - 1
            with lock:
                values = values_of(group, column)
            yield values[row - starts[group]].as_py()

    def column(name: str) -> Any:
        kinds = [Features.from_arrow_schema(file.schema_arrow).get(name) for file in files]
        if other := next((n for n, kind in enumerate(kinds) if kind != kinds[0]), None):
            raise base.ImagesError(
                f"The column {name} of {paths[other]} is {kinds[other] or 'missing'}, that of "
                f"{paths[0]} is {kinds[0]}: the files of a split need the same. Write them anew, "
                "together."
            )
        with _named(paths):
            chunks = [chunk for file in files for chunk in file.read(columns=[name])[name].chunks]
            return chunked_array(chunks, schema.field(name).type)

    features, stamps = Features.from_arrow_schema(schema), base.stamps(paths)
    return Table(str(place), features, column, cells, stamps, paths[0].parent)


@contextmanager
def _named(paths: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        names = ", ".join(f"{path} ({path.stat().st_size} bytes)" for path in paths)
        raise base.ImagesError(f"{names} cannot be read: {error}. Fetch it again.") from error
