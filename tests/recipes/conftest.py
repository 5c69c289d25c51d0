import sys
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "recipes"
sys.path.insert(0, str(RECIPES))  # as when a recipe runs
