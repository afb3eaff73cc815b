"""How long do the mechanisms take beside plain implementations of the same thing?

  python scripts/peers.py --side 32 --channels 64 --batch 128

The peer is timm's module where timm has one of the same formula (`pip install timm`); for a token mechanism the
mechanism itself with softmax(QK^T)V written out, two matrix products with the matrix of all pairs between them; for the
others the paper's formula in the tensor operations that come to mind first, with the mechanism's own weights. Both
sides are timed in turn in one process, in the precision, memory format and threads that device=auto chooses. A ratio
below 1 is a gain.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.create_attn import create_attn
from torch import Tensor, nn

from attn_train.attention import ATTENTION
from attn_train.cost.bench.measure import Work, timings
from attn_train.machine import device as devices
from attn_train.machine.device import Device
from attn_train.ops import dot_product

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
TOKENS = (
    *("self_attention", "agent", "augmented_conv", "axial", "differential", "halo"),
    *("non_local", "pooled", "top_k", "window"),
)


def written_out(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Return `softmax(scale QK^T + mask) V` by way of the whole matrix; a mask of booleans says what is seen."""
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return torch.softmax(scores, dim=-1) @ value


@contextmanager
def softmax_written_out() -> Iterator[None]:
    """Let every mechanism compute softmax(QK^T)V by the whole matrix, and not by code of its own."""
    fused, own = F.scaled_dot_product_attention, dot_product.written_out
    F.scaled_dot_product_attention = written_out  # type: ignore[assignment]
    dot_product.written_out = written_out
    try:
        yield
    finally:
        F.scaled_dot_product_attention, dot_product.written_out = fused, own


def token_mechanism(mechanism: Any, x: Tensor) -> Tensor:
    with softmax_written_out():
        out: Tensor = mechanism(x)
        return out


def bam(mechanism: Any, x: Tensor) -> Tensor:
    channel = mechanism.channel[1:](x.mean(dim=(2, 3), keepdim=True))
    return x + x * torch.sigmoid(channel + mechanism.spatial(x))


def criss_cross(mechanism: Any, x: Tensor) -> Tensor:
    """All pairs of pixels, those outside of the cross masked."""
    row, column = (place.flatten() for place in torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij"))
    apart = ((row[:, None] != row) & (column[:, None] != column)).to(x.device)
    for _ in range(mechanism.recurrence):
        query, key, value = (
            part(x).flatten(2).transpose(1, 2) for part in (mechanism.query, mechanism.key, mechanism.value)
        )
        scores = (query @ key.transpose(1, 2)).masked_fill(apart, -math.inf)
        seen = torch.softmax(scores, dim=2) @ value
        x = x + mechanism.gamma * seen.transpose(1, 2).unflatten(2, x.shape[2:])
    return x


def double_attention(mechanism: Any, x: Tensor) -> Tensor:
    feature, gather, distribute = (
        part(x).flatten(2) for part in (mechanism.feature, mechanism.gather, mechanism.distribute)
    )
    descriptors = torch.bmm(feature, torch.softmax(gather, dim=2).transpose(1, 2))
    return x + mechanism.project(
        torch.bmm(descriptors, torch.softmax(distribute, dim=1)).view_as(x[:, : feature.shape[1]])
    )


def external(mechanism: Any, x: Tensor) -> Tensor:
    shares = torch.softmax(mechanism.memory_key(mechanism.query(x.flatten(2).transpose(1, 2))), dim=1)
    shares = shares / (1e-9 + shares.sum(dim=2, keepdim=True))
    return x + mechanism.project(mechanism.memory_value(shares)).transpose(1, 2).reshape(x.shape)


def gated(mechanism: Any, x: Tensor) -> Tensor:
    return x * torch.sigmoid(mechanism.conv1(x) * mechanism.conv2(x))


def inline(mechanism: Any, x: Tensor) -> Tensor:
    """From the left, as `linear`; the neighbours as they are."""
    tokens = x.flatten(2).transpose(1, 2)
    query, key, value = (mechanism.split(part(tokens)) for part in (mechanism.query, mechanism.key, mechanism.value))
    products = query @ key.transpose(2, 3) * mechanism.scale / tokens.shape[1]
    weights = products - products.mean(dim=3, keepdim=True) + 1 / tokens.shape[1]
    summed = (weights @ value).transpose(1, 2).flatten(2) + mechanism.neighbours(mechanism.value(tokens), x)
    return x + mechanism.project(summed).transpose(1, 2).reshape(x.shape)


def linear(mechanism: Any, x: Tensor) -> Tensor:
    """From the left: the matrix of all pairs of pixels, then the values."""
    tokens = x.flatten(2).transpose(1, 2)
    query, key, value = (
        part(tokens).unflatten(2, (mechanism.heads, -1)).transpose(1, 2)
        for part in (mechanism.query, mechanism.key, mechanism.value)
    )
    weights = torch.softmax(query, dim=3) @ torch.softmax(key, dim=2).transpose(2, 3)
    out = mechanism.project((weights @ value).transpose(1, 2).flatten(2))
    return x + out.transpose(1, 2).unflatten(2, x.shape[2:])


def scse(mechanism: Any, x: Tensor) -> Tensor:
    squeezed = x.mean(dim=(2, 3), keepdim=True)
    channel = torch.sigmoid(mechanism.expand(torch.relu(mechanism.reduce(squeezed))))
    return x * channel + x * torch.sigmoid(mechanism.spatial(x))


def simam(mechanism: Any, x: Tensor) -> Tensor:
    squares = (x - x.mean(dim=(2, 3), keepdim=True)).pow(2)
    variance = squares.mean(dim=(2, 3), keepdim=True)
    return x * torch.sigmoid(squares / (4 * (variance + mechanism.energy_lambda)) + 0.5)


def srm(mechanism: Any, x: Tensor) -> Tensor:
    style = torch.stack([x.mean(dim=(2, 3)), (x.var(dim=(2, 3), correction=0) + 1e-5).sqrt()], dim=2)
    score = (style * mechanism.style.weight[:, 0, 0]).sum(dim=2)
    return x * torch.sigmoid(mechanism.norm(score[:, :, None, None]))


def strip_pooling(mechanism: Any, x: Tensor) -> Tensor:
    rows = mechanism.norm_rows(mechanism.conv_rows(x.mean(dim=3, keepdim=True))).expand_as(x)
    columns = mechanism.norm_columns(mechanism.conv_columns(x.mean(dim=2, keepdim=True))).expand_as(x)
    return x * torch.sigmoid(mechanism.fuse(torch.relu(rows + columns)))


def triplet(mechanism: Any, x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    for dim, branch in enumerate(mechanism.branches, start=1):
        turned = x.transpose(1, dim)
        pooled = torch.cat([turned.amax(dim=1, keepdim=True), turned.mean(dim=1, keepdim=True)], dim=1)
        out = out + (turned * torch.sigmoid(branch(pooled))).transpose(1, dim)
    return out / 3


PLAIN: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "bam": bam,
    "criss_cross": criss_cross,
    "double_attention": double_attention,
    "external": external,
    "gated": gated,
    "inline": inline,
    "linear": linear,
    "scse": scse,
    "simam": simam,
    "srm": srm,
    "strip_pooling": strip_pooling,
    "triplet": triplet,
}


class Plain(nn.Module):
    """A mechanism, computed by `function` from its weights."""

    def __init__(self, mechanism: nn.Module, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.mechanism = mechanism
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.mechanism, x)


def pairs(channels: int, side: int) -> Iterator[tuple[str, str, nn.Module, nn.Module]]:
    """Yield the name of a mechanism, that of its peer, and both."""
    for name in sorted({*TIMM, *TOKENS, *PLAIN}):
        mechanism = ATTENTION[name](channels, (side, side))
        if name in TIMM:
            peer, options = TIMM[name]
            yield name, "timm", mechanism, create_attn(peer, channels, **options)
        if name in TOKENS:
            yield name, "whole matrix", mechanism, Plain(mechanism, token_mechanism)
        if name in PLAIN:
            yield name, "plain", mechanism, Plain(mechanism, PLAIN[name])


def race(ours: Work, peer: Work, device: Device, rounds: int) -> list[float]:
    """Return the seconds of a forward pass (ours, the peer's) and of a training step: medians over the rounds."""
    taken: list[list[float]] = [[], [], [], []]
    for turn in range(rounds):
        for work in (ours, peer) if turn % 2 == 0 else (peer, ours):
            for number, step in enumerate((work.forward, work.training_step)):
                taken[2 * number + (work is peer)] += timings(step, device, 1, 0.1)
            work.free()
    return [statistics.median(one) for one in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32, help="of the feature map")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7, help="a median is over so many")
    options = parser.parse_args()
    device = devices.decide("auto", "auto", None, None, None, None, steps_a_shape=0)
    devices.configure(device)
    torch.manual_seed(0)
    shape = (options.batch, options.channels, options.side, options.side)
    print(f"{shape}, {device.kind}, {device.precision}, {device.threads} threads, torch {torch.__version__}")
    columns = f"{'ours':>9} {'peer':>9} {'ratio':>6}"
    print(f"{'':33} {'forward, ms':^26} {'forward and backward, ms':^26}")
    print(f"{'mechanism':16} {'peer':16} {columns} {columns}")
    for name, label, mechanism, peer in pairs(options.channels, options.side):
        for one in (mechanism, peer):
            one.to(device.place, memory_format=device.memory_format)  # type: ignore[call-overload]
        try:
            ours, others = Work(mechanism, shape, device), Work(peer, shape, device)
            forward, forward_peer, both, both_peer = race(ours, others, device, options.rounds)
        except (RuntimeError, MemoryError) as error:  # the matrix of a large map may not fit
            print(f"{name:16} {label:16} {str(error).splitlines()[0]}")
            continue
        print(
            f"{name:16} {label:16} {1e3 * forward:9.2f} {1e3 * forward_peer:9.2f} {forward / forward_peer:6.2f} "
            f"{1e3 * both:9.2f} {1e3 * both_peer:9.2f} {both / both_peer:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
