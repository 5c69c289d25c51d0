"""The lowest versions that pyproject.toml declares, and what the tests need, a line each for pip.

python tests/lower_bounds.py [torch==VERSION]
"""

import sys
import tomllib
from pathlib import Path

EXTRAS = ("timm", "accelerate", "transformers", "lightning", "eval")
"""Those that the tests of core and integrations import."""
TOOLS = ("beartype", "build", "hypothesis", "pytest", "pytest-xdist", "scipy")
"""Of the tests and of torchattacks, at any version."""

content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
project, builders = content["project"], content["build-system"]["requires"]
of_extras = [each for extra in EXTRAS for each in project["optional-dependencies"][extra]]
declared = [
    each for each in (*project["dependencies"], *of_extras) if not each.startswith("freqreg")
]
lowest = [each.replace(">=", "==") for each in declared]
if sys.argv[1:]:
    lowest = [*sys.argv[1:], *(each for each in lowest if not each.startswith("torch=="))]
print("\n".join(dict.fromkeys([*lowest, *TOOLS, *builders])))
