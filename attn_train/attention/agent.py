"""Agent attention: a few averaged queries gather from all pixels, and all pixels take from those few (Han et al., 2023,
arXiv 2312.08874)."""

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.dot_product import dot_product_attention
from attn_train.ops.pooling import grid_mean


class AgentAttention(Attention):
    """Compute `project(softmax(Q A^T / sqrt(d)) softmax(A K^T / sqrt(d)) V + conv(V))`, the agents A being means of Q.

    The averages are those of a grid of at most `grid` rows and columns; `conv` is a 3x3 convolution of each channel by
    itself. Each of the `heads` has its share d of the channels, which they must divide. `residual=True` adds the input
    to the result. 4 c^2 + 13 c parameters. `key` has no bias: it would cancel in the softmax. The paper's agent bias, a
    learned number for each agent and place in both softmaxes, is left out: it is tied to one size of the map.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, grid: int = 7, heads: int = 1, residual: bool = True
    ) -> None:
        super().__init__()
        if grid < 1:
            raise ValueError(f"grid={grid} must be at least 1")
        head_channels(channels, heads)
        self.grid = grid
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels)
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels)
        self.project = nn.Linear(channels, channels)

    def split(self, tokens: Tensor) -> Tensor:
        """Return (batch, n, channels) as (batch, heads, n, d)."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def agents(self, query: Tensor, x: Tensor) -> Tensor:
        """Return the averages of the queries, (batch, n, channels), over the grid's cells: (batch, heads, cells, d)."""
        placed = query.transpose(1, 2).unflatten(2, x.shape[2:])
        cells = grid_mean(placed, (min(x.shape[2], self.grid), min(x.shape[3], self.grid)))
        return self.split(cells.flatten(2).transpose(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        query, value = self.query(tokens), self.value(tokens)
        agents = self.agents(query, x)
        gathered = dot_product_attention(agents, self.split(self.key(tokens)), self.split(value))
        attended = dot_product_attention(self.split(query), agents, gathered)  # (batch, heads, n, d)
        local = self.conv(value.transpose(1, 2).unflatten(2, x.shape[2:])).flatten(2).transpose(1, 2)
        projected = self.project(attended.transpose(1, 2).flatten(2) + local)  # (batch, n, channels)
        out = projected.transpose(1, 2).unflatten(2, x.shape[2:])
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each position receives by way of the agents, without `conv`:
        (batch, height, width)."""
        tokens = x.flatten(2).transpose(1, 2)
        query, key = self.query(tokens), self.split(self.key(tokens))
        agents = self.agents(query, x)
        scale = key.shape[3] ** -0.5
        asked = torch.softmax(self.split(query) @ agents.transpose(2, 3) * scale, dim=3).mean(dim=2, keepdim=True)
        received = asked @ torch.softmax(agents @ key.transpose(2, 3) * scale, dim=3)  # (batch, heads, 1, n)
        return received.mean(dim=(1, 2)).unflatten(1, x.shape[2:])
