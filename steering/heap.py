"""What the C library does with memory that was freed, where it is glibc."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8  # glibc's malloc.h
KEPT_BYTES, LARGEST_KEPT_BYTES = 128 << 20, 32 << 20
RETURNED_BYTES = 512 << 10
ARENAS = 2


def keep_freed() -> bool:
    """Let this process keep freed blocks up to KEPT_BYTES; whether its C library does.

    Else a message of three pictures of 480 × 640 is taken from the system and given back at every step of its reading:
    some 600 page faults, 2 ms.
    """
    return _set(MMAP_THRESHOLD, LARGEST_KEPT_BYTES) and _set(TRIM_THRESHOLD, KEPT_BYTES)


def return_freed() -> bool:
    """Give blocks of RETURNED_BYTES or more back to the system once they are freed, and let threads use what others
    freed; whether its C library does.

    Else glibc puts blocks as large as any that was ever freed among the small ones of its thread, where they cannot go
    back: the page's server held 120 MB more once fifty visitors had pictures made. And with an arena for nearly every
    thread, what one freed no other uses: 56 MB.
    """
    return _set(MMAP_THRESHOLD, RETURNED_BYTES) and _set(ARENA_MAX, ARENAS)


def _set(option: int, value: int) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # of macOS and Windows
        return False
    return bool(mallopt(option, value))
