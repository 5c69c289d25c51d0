"""`python -m freqreg` runs the command `freqreg`."""

from freqreg.cli import main

main()
