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


def test_the_plain_form_of_a_mechanism_gives_the_same(peers: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    told = set()
    for name, label, mechanism, peer in peers.pairs(8, 6):
        if label == "timm":
            continue
        mechanism.double()
        for parameter in mechanism.parameters():  # some begin at zero, and would hide the rest
            torch.nn.init.normal_(parameter, std=0.3)
        torch.testing.assert_close(peer(x), mechanism(x), msg=f"{name}: {{}}".format)
        told.add(name)
    assert told == {*peers.TOKENS, *peers.PLAIN}


def test_every_token_mechanism_asks_for_the_softmax_that_is_written_out(peers: ModuleType) -> None:
    x = torch.randn(2, 8, 6, 5)
    for name in peers.TOKENS:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(peers, "written_out", lambda *_, **__: pytest.fail("asked"))
            with pytest.raises(pytest.fail.Exception):
                peers.token_mechanism(ATTENTION[name](8, (6, 5)), x)


def test_timms_modules_are_of_the_same_size(peers: ModuleType) -> None:
    """As many weights, but for a few biases that one of the two leaves out where a norm follows."""
    for name, label, mechanism, peer in peers.pairs(64, 8):
        if label == "timm":
            assert weights_of(mechanism) == weights_of(peer), name


def weights_of(module: torch.nn.Module) -> int:
    return sum(one.numel() for one in module.parameters() if one.dim() > 1)
