"""A file of results that grows line by line, so that interrupted work can continue."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freqreg._files import write_text
from freqreg.errors import InputError
from freqreg.evaluation.processes import is_main
from freqreg.evaluation.results.records import require_numbers


class Journal:
    """Numbers by name, each written to a file as soon as it is added.

    Args:
        file: JSON lines, of which the first identifies the numbers; created if missing. A last line
            cut off by a kill is dropped. None: nothing is stored.
        about: what identifies the numbers.

    Raises:
        InputError: `file` is about something else, or of another program.
    """

    def __init__(self, file: Path | None, about: Mapping[str, Any]) -> None:
        self._file, self._numbers = file, {}
        if file is None:
            return
        try:
            *whole, cut = file.read_text().split("\n") if file.exists() else [""]
            header, *lines = whole or [json.dumps(about)]
            if not whole and not header.startswith(cut):
                raise ValueError("it does not begin as they do")
            found, *numbers = map(json.loads, (header, *lines))
            for each in numbers:
                require_numbers(each)
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{file} holds other lines than freqreg writes ({error}). Name another folder or "
                "file, or delete it."
            ) from error
        if found != about:
            raise InputError(
                f"{file} is about {header}, not {json.dumps(about)}: other data, settings or "
                "another model. Name another file, or delete it."
            )
        for each in numbers:
            self._numbers |= each
        write_text(file, "".join(f"{line}\n" for line in (header, *lines)))

    def __contains__(self, name: str) -> bool:
        return name in self._numbers

    def __getitem__(self, name: str) -> float:
        return self._numbers[name]

    def add(self, numbers: Mapping[str, float]) -> None:
        """Add numbers by name."""
        self._numbers |= numbers
        if self._file is not None and is_main():
            with self._file.open("a") as file:
                file.write(json.dumps(numbers) + "\n")
