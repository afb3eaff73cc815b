"""How long do the mechanisms take beside plain implementations of the same thing?

  python scripts/peers.py --side 32 --channels 64 --batch 128

The peer is timm's module where timm has one of the same formula (`pip install timm`), and for a token mechanism the
mechanism itself with softmax(QK^T)V written out: two matrix products with the n x n matrix between them. Both sides are
timed in turn in one process, in the precision, memory format and threads that device=auto chooses. A ratio below 1 is a
gain.
"""

import argparse
import math
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import create_attn
from torch import Tensor, nn

from attn_train import device as devices
from attn_train.attention import ATTENTION
from attn_train.bench.measure import Work, timings
from attn_train.device import Device

# By timm's name and options; what is not said is the paper's default, in both.
TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "se": ("se", {"rd_ratio": 1 / 16, "rd_divisor": 1}),
    "ese": ("ese", {}),
    "eca": ("eca", {}),
    "ge": ("ge", {"extent": 0, "use_mlp": False}),
    "cbam": ("cbam", {"rd_ratio": 1 / 16, "rd_divisor": 1}),
    "coordinate": ("coord", {"rd_ratio": 1 / 32}),
    "global_context": ("gca", {"rd_ratio": 1 / 16, "rd_divisor": 1}),
    "non_local": ("nl", {"rd_ratio": 1 / 2}),
}
TOKENS = ("self_attention", "augmented_conv", "axial", "halo", "non_local", "pooled", "top_k", "window")


def written_out(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Return `softmax(scale QK^T + mask) V` by way of the n x n matrix; a mask of booleans says what may be seen."""
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, dim=-1) @ value


@contextmanager
def softmax_written_out() -> Iterator[None]:
    """Let every mechanism compute softmax(QK^T)V by the whole matrix."""
    fused = F.scaled_dot_product_attention
    F.scaled_dot_product_attention = written_out  # type: ignore[assignment]
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused


class WrittenOut(nn.Module):
    """A mechanism whose softmax(QK^T)V goes by way of the n x n matrix."""

    def __init__(self, mechanism: nn.Module) -> None:
        super().__init__()
        self.mechanism = mechanism

    def forward(self, x: Tensor) -> Tensor:
        with softmax_written_out():
            return self.mechanism(x)


def pairs(channels: int, side: int) -> Iterator[tuple[str, str, nn.Module, nn.Module]]:
    """Yield the name of a mechanism, that of its peer, and both."""
    for name in sorted({*TIMM, *TOKENS}):
        mechanism = ATTENTION[name](channels, (side, side))
        if name in TIMM:
            peer, options = TIMM[name]
            yield name, "timm", mechanism, create_attn(peer, channels, **options)
        if name in TOKENS:
            yield name, "n x n matrix", mechanism, WrittenOut(mechanism)


def race(ours: Work, peer: Work, device: Device, rounds: int) -> list[float]:
    """Return the seconds of a forward pass (ours, the peer's) and of a training step: medians over the rounds."""
    taken: list[list[float]] = [[], [], [], []]
    for turn in range(rounds):
        for work in (ours, peer) if turn % 2 == 0 else (peer, ours):
            for number, step in enumerate((work.forward, work.training_step)):
                taken[2 * number + (work is peer)] += timings(step, device, 1, 0.1)
            work.let_go()
    return [statistics.median(one) for one in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32, help="of the feature map")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7, help="a median is over so many")
    options = parser.parse_args()
    device = devices.decide("auto", "auto", None, None, None, steps_a_shape=0)
    devices.configure(device)
    torch.manual_seed(0)
    shape = (options.batch, options.channels, options.side, options.side)
    print(f"{shape}, {device.kind}, {device.precision}, {device.threads} threads, torch {torch.__version__}")
    columns = f"{'ours':>9} {'peer':>9} {'ratio':>6}"
    print(f"{'':31} {'forward, ms':^26} {'forward and backward, ms':^26}")
    print(f"{'mechanism':16} {'peer':14} {columns} {columns}")
    for name, label, mechanism, peer in pairs(options.channels, options.side):
        for one in (mechanism, peer):
            one.to(device.place, memory_format=device.memory_format)  # type: ignore[call-overload]
        try:
            ours, others = Work(mechanism, shape, device), Work(peer, shape, device)
            forward, forward_peer, both, both_peer = race(ours, others, device, options.rounds)
        except (RuntimeError, MemoryError) as error:  # the matrix of a large map may not fit
            print(f"{name:16} {label:14} {str(error).splitlines()[0]}")
            continue
        print(
            f"{name:16} {label:14} {1e3 * forward:9.2f} {1e3 * forward_peer:9.2f} {forward / forward_peer:6.2f} "
            f"{1e3 * both:9.2f} {1e3 * both_peer:9.2f} {both / both_peer:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
