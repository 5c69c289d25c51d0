"""Write the distributed matrix into its page of the documentation.

torchrun --nproc_per_node 2 -m tests.integrations.distributed_matrix RESULTS.json
python -m tests.integrations.distributed_table RESULTS.json
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.integrations.distributed_matrix import DIFFERENTIATIONS, OBJECTIVES, WRAPPERS

PAGE = Path(__file__).parents[2] / "docs" / "distributed.md"
START, END = "<!-- table: start -->\n", "<!-- table: end -->"


def table(results: Mapping[str, float | str]) -> str:
    """A row for each wrapper and objective, a column for each differentiation."""
    rows = ["| wrapper | objective | " + " | ".join(DIFFERENTIATIONS) + " |"]
    rows.append("|---" * (2 + len(DIFFERENTIATIONS)) + "|")
    for wrapper in WRAPPERS:
        for objective in OBJECTIVES:
            cells = [
                _verdict(results[f"{wrapper} | {objective} | {strategy}"])
                for strategy in DIFFERENTIATIONS
            ]
            rows.append(f"| {wrapper} | {objective} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


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
