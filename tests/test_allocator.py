"""Freed memory is kept, as the system's count of page faults tells."""

import subprocess
import sys

import pytest

from attn_train.machine.allocator import gnu_c_library

FAULTS = """
import resource
import torch
from attn_train.machine.allocator import keep_freed_memory

if {keep}:
    keep_freed_memory()
for _ in range(20):  # until what else is allocated has found its place
    torch.zeros(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep: bool) -> int:
    """Count the page faults of 20 tensors of 64 MB, each freed before the next."""
    words = [sys.executable, "-c", FAULTS.format(keep=keep)]
    ran = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return int(ran.stdout)


@pytest.mark.slow
@pytest.mark.skipif(gnu_c_library() is None, reason="this system has another C library than the GNU one")
def test_pages_are_taken_once() -> None:
    assert page_faults(keep=True) < 100
    assert page_faults(keep=False) > 20 * 20  # at least one for each 2 MB, were all pages huge
