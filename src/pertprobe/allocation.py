"""Freed memory kept by the process that freed it, since the system clears what it lends anew, page by page."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt in glibc's malloc.h."""
LARGEST = 2**30
"""Bytes: arrays up to here are taken from, and given back to, the process's own memory."""


def keep_freed_memory() -> bool:
    """Have malloc keep what is freed, and return whether it will; only glibc can.

    A batch of derivatives makes arrays of many megabytes and drops them at once. By default each is borrowed from the
    system and given back, and clearing its pages takes as long as filling them. The peak is as it was.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
