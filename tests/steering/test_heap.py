"""Freed memory: kept for a server of policies, given back by the page's; each in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

KEEPING = """
import resource
from steering.heap import keep_freed
kept = keep_freed()
def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [b"x" * (3 << 20) for _ in range(3)]
        del blocks
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / rounds
faults(3)
print(int(kept), faults(20))
"""
RETURNING = """
import numpy as np, psutil
from steering.heap import return_freed
given = return_freed()
largest = np.ones(24 << 20, np.uint8)
del largest  # glibc would now keep all that are smaller
blocks, small = [], []
for _ in range(20):  # a small one that stays behind every large one
    blocks.append(np.ones(4 << 20, np.uint8))
    small.append(np.ones(100 << 10, np.uint8))
before = psutil.Process().memory_info().rss
blocks.clear()
print(int(given), (before - psutil.Process().memory_info().rss) / (80 << 20))
"""
SHARING = """
import ctypes, sys, tempfile, threading
from steering.heap import return_freed
given = return_freed()
together, held = threading.Barrier(12), []
def work():
    held.append(bytearray(50_000))  # of the C library, not of Python's own blocks
    together.wait()
    held.append(bytearray(50_000))
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
heaps = 0
if given:
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    with tempfile.TemporaryFile("w+") as file:
        stream = ctypes.c_void_p(libc.fdopen(file.fileno(), b"w"))
        libc.malloc_info(0, stream)
        libc.fflush(stream)
        file.seek(0)
        heaps = file.read().count("<heap ")
print(int(given), heaps)
"""


def _said(code: str) -> tuple[bool, float]:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    done, figure = ran.stdout.split()
    assert done == "1" or platform.libc_ver()[0] != "glibc", ran.stdout
    return done == "1", float(figure)


def test_a_server_of_policies_takes_no_memory_anew_for_every_message() -> None:
    done, faults = _said(KEEPING)
    assert not done or faults < 20


def test_the_page_gives_back_large_blocks_whatever_stays_behind_them() -> None:
    done, share = _said(RETURNING)
    assert not done or share > 0.9


def test_threads_of_the_page_use_what_others_freed() -> None:
    done, heaps = _said(SHARING)
    assert not done or 1 <= heaps <= 3  # that of the first thread, and two
