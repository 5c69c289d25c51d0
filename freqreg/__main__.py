"""`python -m freqreg` is `freqreg`."""

from freqreg.cli import main

main()
