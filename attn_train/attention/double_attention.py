"""Double attention: gather features of the whole map into a few descriptors, then distribute these to the positions
(A2-Nets, Chen et al., 2018, arXiv 1810.11579)."""

import torch
from torch import Tensor

from attn_train.attention.attention import Attention, reduced_channels
from attn_train.ops.convolution import Conv1x1


class DoubleAttention(Attention):
    """Compute `x + project(G V)` with the descriptors `G = A B^T`.

    A are features of the positions; B is a softmax over the positions, one for each descriptor; V is a softmax over the
    descriptors, one for each position. Features and descriptors both number `inner = channels / reduction`.
    4 c inner + 2 inner + c parameters. `gather` has no bias: it would cancel in the softmax.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 4) -> None:
        super().__init__()
        inner = reduced_channels(channels, reduction)
        self.feature = Conv1x1(channels, inner)
        self.gather = Conv1x1(channels, inner, bias=False)
        self.distribute = Conv1x1(channels, inner)
        self.project = Conv1x1(inner, channels)

    def shares(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return B and V, each (batch, descriptors, n): the rows of B and the columns of V sum to one."""
        gather, distribute = self.gather(x).flatten(2), self.distribute(x).flatten(2)
        return torch.softmax(gather, dim=2), torch.softmax(distribute, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        gather, distribute = self.shares(x)
        descriptors = gather @ self.feature(x).flatten(2).transpose(1, 2)  # (batch, descriptors, features)
        attended = distribute.transpose(1, 2) @ descriptors  # (batch, n, features)
        return x + self.project(attended.transpose(1, 2).unflatten(2, x.shape[2:]))

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over the positions how much of each position they receive: (batch, height, width)."""
        gather, distribute = self.shares(x)
        return (distribute.mean(dim=2, keepdim=True) * gather).sum(dim=1).unflatten(1, x.shape[2:])
