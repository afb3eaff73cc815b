"""scripts/peers.py: what the mechanisms are timed against computes the same."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import imported

from attn_train.attention import ATTENTION

SCRIPT = Path(__file__).parent.parent / "scripts" / "peers.py"


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    return imported(SCRIPT)


def test_every_token_mechanism_written_out_gives_the_same(peers: ModuleType) -> None:
    """With the n x n matrix and without; each of them does ask for softmax(QK^T)V."""
    torch.manual_seed(0)
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    for name in peers.TOKENS:
        mechanism = ATTENTION[name](8, (6, 5)).double().train()
        for parameter in mechanism.parameters():  # some begin at zero, and would hide the rest
            torch.nn.init.normal_(parameter, std=0.3)
        torch.testing.assert_close(peers.WrittenOut(mechanism)(x), mechanism(x))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(peers, "written_out", lambda *_, **__: pytest.fail("asked"))
            with pytest.raises(pytest.fail.Exception):
                peers.WrittenOut(mechanism)(x)


def test_timms_modules_are_of_the_same_size(peers: ModuleType) -> None:
    """As many weights, but for a few biases that one of the two leaves out where a norm follows."""
    for name, label, mechanism, peer in peers.pairs(64, 8):
        if label == "timm":
            assert weights_of(mechanism) == weights_of(peer), name


def weights_of(module: torch.nn.Module) -> int:
    return sum(one.numel() for one in module.parameters() if one.dim() > 1)
