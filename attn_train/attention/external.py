"""External attention: the positions attend to a small learned memory instead of to each other (Guo et al., 2021,
arXiv 2105.02358)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention


class ExternalAttention(Attention):
    """Compute `x + project(Norm(query(x) M_k^T) M_v)` with two memory units, `M_k` and `M_v`, of `memory` rows.

    Norm is the double normalisation: a softmax over the positions, then each position's shares are divided by their sum
    over the memory. 2 c^2 + 2 c memory + c parameters. `query` has no bias: it would cancel in the softmax. The batch
    norm and the ReLU that the authors' code puts after the output projection and the residual are left out.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, memory: int = 64) -> None:
        super().__init__()
        if memory < 1:
            raise ValueError(f"memory={memory} must be at least 1")
        self.query = nn.Linear(channels, channels, bias=False)
        self.memory_key = nn.Linear(channels, memory, bias=False)
        self.memory_value = nn.Linear(memory, channels, bias=False)
        self.project = nn.Linear(channels, channels)

    def scores(self, x: Tensor) -> Tensor:
        """Return the logarithm of the softmax over the positions: (batch, n, memory)."""
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        return torch.log_softmax(self.memory_key(self.query(tokens)), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        # exp(score) / sum(exp(score)) is the second normalisation, and cannot divide zero by zero.
        shares = torch.softmax(self.scores(x), dim=2)
        attended = self.project(self.memory_value(shares))  # (batch, n, channels)
        return x + attended.transpose(1, 2).unflatten(2, x.shape[2:])

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over the memory the softmax over the positions: (batch, height, width), an image's total is one."""
        return self.scores(x).exp().mean(dim=2).unflatten(1, x.shape[2:])
