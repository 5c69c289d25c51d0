"""Run a module of Python, and all that it starts, as if there were a GPU.

    python -m tests.fake_cuda MODULE [ARGUMENTS]

A C compiler must be there: the driver is compiled and loaded before Python.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

DRIVER = Path(__file__).with_name("driver.c")
ROOT = Path(__file__).parents[2]
AT_START = "from tests.fake_cuda.device import pretend\n\npretend()\n"


def environment(folder: str) -> dict[str, str]:
    """With the driver, and what every Python does at its start."""
    library = f"{folder}/libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", library, str(DRIVER)], check=True)
    Path(folder, "sitecustomize.py").write_text(AT_START)
    paths = [folder, str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "LD_PRELOAD": library,
        "LD_LIBRARY_PATH": folder,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def main() -> None:
    """Turn into the module."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = [sys.executable, "-m", *sys.argv[1:]]
    os.execve(sys.executable, program, environment(tempfile.mkdtemp(prefix="fake-cuda-")))


if __name__ == "__main__":
    main()
