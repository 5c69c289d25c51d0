"""Imports point one way: no file imports from a floor above its own, and none goes in a circle."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = (
    "errors",
    "_torch_private",
    "_allocator _settings _tensors _files _extras _collectives _image_processors networks",
    "spectrum frequency_bias radial input_gradients pixels",
    "_graph",
    "mixers regularizers _double_backward _guards",
    "_step",
    "differentiation",
    "objective",
    "diagnostics",
    "evaluation.processes",
    "evaluation.inputs",
    "evaluation.attacks evaluation.corruptions evaluation.metrics evaluation.results",
    "evaluation.plots",
    "evaluation.benchmark",
    "evaluation.report",
    "integrations cli",
    "recipes",
)
"""Rooms of the package, from the ground up; rooms of one floor may import each other."""

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
SOURCES = {
    ("freqreg." if path.parts[0] == "integrations" else "")
    + ".".join(path.with_suffix("").parts).removesuffix(".__init__").removeprefix("recipes."): path
    for folder in ("freqreg", "integrations", "recipes")
    for path in sorted(p.relative_to(ROOT) for p in (ROOT / folder).rglob("*.py"))
    if path.parts[:2] != ("freqreg", "integrations")
}


def imported(module: str) -> Iterator[str]:
    """Modules of this project that the file imports, wherever in it but as a program."""
    tree = ast.parse((ROOT / SOURCES[module]).read_text())
    tree.body = [node for node in tree.body if not is_program(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in SOURCES else node.module for name in whole]
        else:
            continue
        yield from (name for name in names if name in SOURCES and name != module)


def is_program(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__"`."""
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


def floor_of(module: str) -> int | None:
    """Where its room is; None for the packages' own fronts, which import for their users."""
    if not module.startswith("freqreg"):
        return FLOOR_OF["recipes"]
    parts = module.split(".")[1:3]
    if not parts or parts == ["evaluation"] or parts == ["__main__"]:
        return None
    return FLOOR_OF[".".join(parts) if parts[0] == "evaluation" else parts[0]]


@pytest.mark.parametrize("module", SOURCES)
def test_no_import_goes_up(module: str) -> None:
    own = floor_of(module)
    if own is None:
        return
    upward = [name for name in imported(module) if (floor_of(name) or 0) > own]
    assert not upward


def test_no_import_goes_in_a_circle() -> None:
    graph = {module: set(imported(module)) for module in SOURCES}
    assert list(TopologicalSorter(graph).static_order())
