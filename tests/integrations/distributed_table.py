"""Write the distributed matrix into its page of the documentation.

torchrun --nproc_per_node 2 -m tests.integrations.distributed_matrix RESULTS.json
python -m tests.integrations.distributed_table RESULTS.json
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.integrations.distributed_matrix import DIFFERENTIATIONS, OBJECTIVES, WRAPPERS

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"
START, END = "<!-- table: start -->\n", "<!-- table: end -->"


def table(results: Mapping[str, float | str]) -> str:
    """A row for the wrappers and objectives of equal verdicts, a column per differentiation."""
    head = ["| wrappers | objectives | " + " | ".join(DIFFERENTIATIONS) + " |"]
    head.append("|---" * (2 + len(DIFFERENTIATIONS)) + "|")
    wrappers = defaultdict[tuple[str, ...], list[str]](list)
    for wrapper in WRAPPERS:
        wrappers[tuple(_rows(wrapper, results))].append(wrapper)
    rows = [f"| {'; '.join(same)} | {row} |" for of, same in wrappers.items() for row in of]
    return "\n".join([*head, *rows]) + "\n"


def _rows(wrapper: str, results: Mapping[str, float | str]) -> Iterator[str]:
    """The objectives of equal verdicts under one wrapper, and the verdicts."""
    objectives = defaultdict[str, list[str]](list)
    for objective in OBJECTIVES:
        cells = (results[f"{wrapper} | {objective} | {strategy}"] for strategy in DIFFERENTIATIONS)
        objectives[" | ".join(map(_verdict, cells))].append(objective)
    for verdicts, same in objectives.items():
        yield f"{'all' if len(same) == len(OBJECTIVES) else '; '.join(same)} | {verdicts}"


def _verdict(result: float | str) -> str:
    if isinstance(result, str):
        return "raises"
    return "equal" if result < 1e-10 else f"wrong by {result:.0e}"


def main(results: Path) -> None:
    """Replace the table in the page."""
    before, _, rest = PAGE.read_text().partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(before + START + table(json.loads(results.read_text())) + END + after)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
