"""What works with a model, what it costs, and what to change."""

from freqreg.diagnostics.measures import Cost
from freqreg.diagnostics.obstacles import Obstacle
from freqreg.diagnostics.report import Report, Way, check

__all__ = ["Cost", "Obstacle", "Report", "Way", "check"]
