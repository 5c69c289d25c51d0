"""Trainers of other libraries, each in its own module and its own extra."""
