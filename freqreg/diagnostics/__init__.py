"""Checks of what works with a model, what it costs, and what to change."""

from freqreg.diagnostics.measures import Cost
from freqreg.diagnostics.obstacles import Obstacle
from freqreg.diagnostics.report import DifferentiationTrial, Report
from freqreg.diagnostics.trials import check

__all__ = ["Cost", "DifferentiationTrial", "Obstacle", "Report", "check"]
