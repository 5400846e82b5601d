"""Memory that is freed is kept for the next batch."""

import ctypes
from functools import cache

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Names of glibc's options, as ``malloc.h`` has them."""


@cache
def keep_freed_memory() -> None:
    """Have this process keep what it frees, once and for all; without glibc, do nothing.

    glibc gives every block above 32 MiB back to the system as soon as it is freed, and batches of
    feature maps are larger. To be given fresh pages for each of them takes a quarter of the
    processor time of a fit. What is kept is at most what was in use at once.

    References:
        ``man 3 mallopt``: M_TRIM_THRESHOLD, M_MMAP_MAX.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(TRIM_THRESHOLD, 2**31 - 1)
        mallopt(MMAP_MAX, 0)
