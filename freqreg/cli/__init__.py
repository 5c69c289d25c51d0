"""The command line: `freqreg COMMAND`."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

COMMANDS = {
    "check": "freqreg.cli.check:Check",
    "evaluate": "freqreg.cli.evaluate:Evaluate",
    "profile": "freqreg.cli.profile:Profile",
    "corrupt": "freqreg.cli.corrupt:Corrupt",
    "report": "freqreg.cli.report:Report",
}
"""Each command's dataclass of options, which is called to run it."""

DESCRIPTION = "Frequency bias and robustness of image classifiers."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments ask for.

    Args:
        arguments: None: those of the process.
    """
    try:
        import tyro
    except ImportError as error:
        sys.exit(f'The command line needs tyro ({error}). Install: pip install "freqreg[eval]"')
    from freqreg.cli.shared import plain_errors
    from freqreg.evaluation.processes import launched_processes

    with plain_errors(), launched_processes():
        command = tyro.extras.subcommand_cli_from_dict(
            {name: _load(place) for name, place in COMMANDS.items()},
            prog="freqreg",
            description=DESCRIPTION,
            args=arguments,
        )
        command()


def _load(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)
