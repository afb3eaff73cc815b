"""The global context block: one description of the map, pooled by attention and transformed, is given to every position
(GCNet, Cao et al., 2019, arXiv 1904.11492)."""

from typing import Literal

import torch
from torch import Tensor, nn

from attn_train.attention.attention import Attention, reduced_channels
from attn_train.ops.convolution import Conv1x1


class GlobalContext(Attention):
    """Compute `x + W2 relu(LayerNorm(W1 context))` with `context = sum_j softmax_j(score . x_j) x_j`.

    W1 leads to `inner = channels / reduction` channels, but at least 4 (or all): LayerNorm makes a constant of a single
    channel. `fusion="add"` is the paper's choice, `"multiply"` gives `x * sigmoid(W2 ...)`. 2 c inner + 2 c + 3 inner
    parameters. W2 begins at zero, as in the authors' code. `score` has no bias: it would cancel in the softmax.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        reduction: int = 16,
        fusion: Literal["add", "multiply"] = "add",
    ) -> None:
        super().__init__()
        self.fusion = fusion
        inner = reduced_channels(channels, reduction, least=min(4, channels))
        self.score = Conv1x1(channels, 1, bias=False)
        self.reduce = nn.Linear(channels, inner)
        self.norm = nn.LayerNorm(inner)
        self.expand = nn.Linear(inner, channels)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, x: Tensor) -> Tensor:
        shares = torch.softmax(self.score(x).flatten(1), dim=1)  # (batch, n), n = height * width
        context = (x.flatten(2) @ shares.unsqueeze(2)).squeeze(2)  # (batch, channels)
        change = self.expand(torch.relu(self.norm(self.reduce(context))))[:, :, None, None]
        return x + change if self.fusion == "add" else x * torch.sigmoid(change)

    def attention_map(self, x: Tensor) -> Tensor:
        """Return the share that each position has in the context: (batch, height, width), an image's total is one."""
        return torch.softmax(self.score(x).flatten(1), dim=1).unflatten(1, x.shape[2:])
