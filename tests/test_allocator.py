"""Freed memory is kept, as the system's count of page faults tells."""

from pathlib import Path

import pytest
from forked import Forked

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


def page_faults(keep: bool, folder: Path) -> int:
    """Count the page faults of 20 tensors of 64 MB, each freed before the next."""
    process = Forked(FAULTS.format(keep=keep), folder=folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return int(out)


@pytest.mark.slow
@pytest.mark.skipif(gnu_c_library() is None, reason="this system has another C library than the GNU one")
def test_pages_are_taken_once(tmp_path: Path) -> None:
    assert page_faults(True, tmp_path) < 100
    assert page_faults(False, tmp_path) > 20 * 20  # at least one for each 2 MB, were all pages huge
