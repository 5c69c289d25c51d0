"""What the C library does with freed memory, on CPUs."""

import logging
import os
import platform
from functools import cache

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, as malloc.h numbers them."""
BYTES, BYTES_BEFORE_2_35 = 2_000_000_000, 2**25
"""A threshold that no tensor of a step reaches; the highest that older versions of glibc take."""
KEPT = (
    "glibc keeps freed memory for the next step from here on: steps on a CPU take less time, and "
    "the process keeps the memory of its peak. keep_freed_memory=False leaves the allocator alone."
)

logger = logging.getLogger(__name__)


def keep_freed_memory(device: torch.device) -> bool:
    """Let glibc keep what a step frees, which the next step asks for again.

    As shipped it hands large blocks back to the system, which clears each page anew. It is left
    alone where `device` is no CPU, where another C library or another malloc is in use, and where
    the environment sets its thresholds. Nothing is raised.

    Returns:
        Whether freed memory is kept.
    """
    return device.type == "cpu" and not _set_by_user() and _thresholds_raised()


def _set_by_user() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return any(
        f"MALLOC_{name.upper()}_" in os.environ or f"glibc.malloc.{name}" in tunables
        for name in ("mmap_threshold", "mmap_max", "trim_threshold")
    )


@cache
def _thresholds_raised() -> bool:
    """Once for the process."""
    try:
        import ctypes

        libc, used = ctypes.CDLL("libc.so.6"), ctypes.CDLL(None)
        own, first = (ctypes.cast(each.malloc, ctypes.c_void_p).value for each in (libc, used))
        if platform.libc_ver()[0] != "glibc" or own != first:  # another malloc was preloaded
            return False
        limits = (BYTES, BYTES_BEFORE_2_35)  # the other threshold alone would make it worse
        raised = any(libc.mallopt(M_MMAP_THRESHOLD, limit) for limit in limits)
        kept = raised and bool(libc.mallopt(M_TRIM_THRESHOLD, BYTES))
    except (ImportError, OSError, AttributeError, TypeError):  # no ctypes, no such library
        return False
    if kept:
        logger.info(KEPT)
    return kept
