"""The report on evaluated models: `freqreg report`."""
