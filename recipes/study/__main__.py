"""The studies: `python recipes/study NAME`, with --help after each name."""

import sys
from importlib import import_module
from pathlib import Path

import tyro

sys.path[0] = str(Path(__file__).parents[1])

from recipe.command_line import plain_errors  # noqa: E402

PROGRAMS = {
    "mini": "study.mini.run",
    "rerun": "study.mini.rerun",
    "page": "study.mini.write_page",
    "deviations": "study.deviations.run",
    "corruption-bias": "study.corruption_bias",
    "saving": "study.saving",
}
"""Modules with `Arguments` and a `main` that takes them."""


def main() -> None:
    """Run the program named by the first argument, with the other arguments."""
    name, *options = sys.argv[1:] or ["--help"]
    if name not in PROGRAMS:
        sys.exit(f"{__doc__}\nNAME is one of: {', '.join(PROGRAMS)}.")
    program = import_module(PROGRAMS[name])
    arguments = tyro.cli(
        program.Arguments,
        prog=f"study {name}",
        description=program.__doc__,
        args=options,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    with plain_errors():
        program.main(arguments)


if __name__ == "__main__":
    main()
