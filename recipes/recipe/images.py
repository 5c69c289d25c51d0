from freqreg.evaluation import LabelledImages

Images = LabelledImages


class DataError(Exception):
    """The data are out of reach, or not what the recipe needs; the message says the ways out."""
