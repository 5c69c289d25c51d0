"""The checker of freqreg's annotations in tests: beartype, with int where float is said."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
