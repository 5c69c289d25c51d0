"""Run a module of Python as if there were a GPU.

    python -m tests.fake_cuda MODULE [ARGUMENTS]

A C compiler must be there: the driver is compiled and loaded before a second Python, which this
process turns into.
"""

import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

DRIVER = Path(__file__).with_name("driver.c")
LOADED = "FAKE_CUDA_DRIVER"


def restart() -> None:
    """This program again, with the driver loaded."""
    folder = tempfile.mkdtemp(prefix="fake-cuda-")
    library = f"{folder}/libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", library, str(DRIVER)], check=True)
    loaded = {LOADED: folder, "LD_PRELOAD": library, "LD_LIBRARY_PATH": folder}
    program = [sys.executable, "-m", "tests.fake_cuda", *sys.argv[1:]]
    os.execve(sys.executable, program, {**os.environ, **loaded})


def main() -> None:
    """Restart once, then run the module."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    if LOADED not in os.environ:
        restart()
    from tests.fake_cuda.device import pretend

    pretend()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
