"""Separable self-attention of MobileViTv2: one learned query for all pixels, so that time and memory are linear in them
(Mehta and Rastegari, 2022, arXiv 2206.02680)."""

import torch
from torch import Tensor

from attn_train.attention.attention import Attention
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.pooling import scaled


class SeparableAttention(Attention):
    """Compute `project(relu(V) * context)` with `context = sum_i softmax_i(score) K_i`, i the pixels of the map.

    The score of a pixel is its product with one learned vector; the context is multiplied with each pixel's value
    channel by channel. `residual=True` adds the input to the result. 3 c^2 + 4 c parameters. `score` has no bias: it
    would cancel in the softmax. The paper has a softmax for each place within 2x2 patches, over the patches; here it is
    over all pixels. (External-Attention-pytorch leaves the ReLU out.)
    """

    def __init__(self, channels: int, size: tuple[int, int], *, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.score = Conv1x1(channels, 1, bias=False)
        self.key = Conv1x1(channels, channels)
        self.value = Conv1x1(channels, channels)
        self.project = Conv1x1(channels, channels)

    def shares(self, x: Tensor) -> Tensor:
        """Return the weight of each pixel in the context, (batch, 1, n); an image's total is one."""
        return torch.softmax(self.score(x).flatten(2), dim=2)

    def forward(self, x: Tensor) -> Tensor:
        # As the weights sum to one, the sum of the keys is the key of the sum.
        gathered = x.flatten(2) @ self.shares(x).to(x.dtype).transpose(1, 2)  # (batch, channels, 1)
        context = self.key(gathered.unsqueeze(3))  # (batch, channels, 1, 1)
        out = self.project(scaled(torch.relu(self.value(x)), context))
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        return self.shares(x).squeeze(1).unflatten(1, x.shape[2:])
