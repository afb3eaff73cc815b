"""Token statistics self-attention of ToST: no pair of pixels is compared; each head shrinks those of its channels that
are large over the pixels it holds for its own (Wu et al., 2024, arXiv 2412.17810)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels


class TokenStatistics(Attention):
    """Compute `project(-(w P) / (1 + sum_j p_j w_j^2))` with w = W x at each pixel, in time and memory linear in n.

    P is a softmax over the `heads` of `t_h |u|^2`: what share of a pixel each head has. u are the head's channels of w,
    each divided by its length over all pixels of the map, t_h a learned number for each head; p is P divided by its sum
    over the pixels. `heads` must divide the channels; with one head P is 1, and t is not trained. `residual=True` adds
    the input to the result. 2 c^2 + c + heads parameters. The paper derives W transposed as the projection; that it is
    learned, and the division by the length over the pixels, are the authors' code's. Copies of that code which take
    the softmax over the pixels compute another thing.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, heads: int = 4, residual: bool = True) -> None:
        super().__init__()
        head_channels(channels, heads)
        self.heads = heads
        self.residual = residual
        self.inward = nn.Linear(channels, channels, bias=False)
        self.sharpness = nn.Parameter(torch.ones(heads))
        self.project = nn.Linear(channels, channels)

    def shares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return w, (batch, heads, n, d), and P, (batch, heads, n), in float32 at least: they go into sums over the
        map."""
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        inward = self.inward(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
        inward = inward.to(torch.promote_types(inward.dtype, torch.float32))
        energy = F.normalize(inward, dim=2).square().sum(dim=3)  # (batch, heads, n)
        return inward, torch.softmax(energy * self.sharpness[:, None].to(energy.dtype), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        inward, share = self.shares(x)
        over_pixels = share / share.sum(dim=2, keepdim=True)
        power = (over_pixels.unsqueeze(3) * inward.square()).sum(dim=2, keepdim=True)  # (batch, heads, 1, d)
        out = -inward * share.unsqueeze(3) / (1 + power)
        projected = self.project(out.transpose(1, 2).flatten(2).to(x.dtype))  # (batch, n, channels)
        out = projected.transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads the weight of each pixel in the sum over the map: (batch, height, width)."""
        _, share = self.shares(x)
        return (share / share.sum(dim=2, keepdim=True)).mean(dim=1).unflatten(1, x.shape[2:])
