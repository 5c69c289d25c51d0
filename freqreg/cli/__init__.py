"""The command line: `freqreg COMMAND`."""

import sys
from collections.abc import Sequence
from pkgutil import resolve_name

COMMANDS = {
    "check": "freqreg.cli.check:Check",
    "evaluate": "freqreg.cli.evaluate:Evaluate",
    "profile": "freqreg.cli.profile:Profile",
    "corrupt": "freqreg.cli.corrupt:Corrupt",
    "report": "freqreg.cli.report:Report",
}
"""The dataclass of each command's options; calling an instance runs the command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: the words after `freqreg`; None takes those of the process.
    """
    try:
        import tyro
    except ImportError as error:
        sys.exit(f'The command line needs tyro ({error}). Install: pip install "freqreg[eval]"')
    from freqreg.cli.shared import plain_errors
    from freqreg.evaluation.processes import launched_processes

    with plain_errors(), launched_processes():
        command = tyro.extras.subcommand_cli_from_dict(
            {name: resolve_name(place) for name, place in COMMANDS.items()},
            prog="freqreg",
            description="Frequency bias and robustness of image classifiers.",
            args=arguments,
        )
        command()
