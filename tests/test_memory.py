"""The memory that a step takes."""

from pathlib import Path

import pytest
import torch
from small import CPU

from attn_train.machine import memory


def test_peak_is_what_was_taken_and_not_what_was_taken_before() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not forget a peak")
    earlier = torch.ones(50_000_000)  # 200 MB
    del earlier
    peak = memory.Peak(CPU)
    taken = torch.ones(16_000_000)
    del taken
    assert peak.bytes() == pytest.approx(64e6, abs=2e6)
