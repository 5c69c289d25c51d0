"""Settings of glibc's allocator, for steps on a CPU."""

import logging
import os
import platform
from functools import cache

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt, as numbered in malloc.h."""
BYTES, BYTES_BEFORE_2_35 = 2_000_000_000, 2**25
"""A threshold larger than any tensor of a step; the largest that older versions of glibc accept."""
KEPT = (
    "From now on glibc keeps freed memory for the next step: steps on a CPU take less time, and "
    "the process keeps its peak memory. keep_freed_memory=False leaves the allocator alone."
)

logger = logging.getLogger(__name__)


def keep_freed_memory(device: torch.device) -> bool:
    """Let glibc keep the memory that a step frees; the next step needs the same again.

    By default glibc returns large blocks to the system, which must then clear each page anew.
    Nothing changes, and nothing is raised, if `device` is not a CPU, if another C library or
    malloc is in use, or if the environment sets glibc's thresholds.

    Returns:
        Whether freed memory is kept.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    set_by_user = any(
        f"MALLOC_{name.upper()}_" in os.environ or f"glibc.malloc.{name}" in tunables
        for name in ("mmap_threshold", "mmap_max", "trim_threshold")
    )
    return device.type == "cpu" and not set_by_user and _thresholds_raised()


@cache
def _thresholds_raised() -> bool:
    """Raise both thresholds, once per process; return whether glibc accepted them."""
    try:
        import ctypes

        libc, used = ctypes.CDLL("libc.so.6"), ctypes.CDLL(None)
        own, first = (ctypes.cast(each.malloc, ctypes.c_void_p).value for each in (libc, used))
        if platform.libc_ver()[0] != "glibc" or own != first:  # another malloc was preloaded
            return False
        limits = (BYTES, BYTES_BEFORE_2_35)  # the trim threshold alone would make it worse
        raised = any(libc.mallopt(M_MMAP_THRESHOLD, limit) for limit in limits)
        kept = raised and bool(libc.mallopt(M_TRIM_THRESHOLD, BYTES))
    except (ImportError, OSError, AttributeError, TypeError):  # no ctypes, no such library
        return False
    if kept:
        logger.info(KEPT)
    return kept
