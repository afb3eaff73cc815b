"""Window attention of the Swin Transformer (Liu et al., 2021, arXiv 2103.14030)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention
from attn_train.attention.self_attention import head_channels
from attn_train.ops.dot_product import dot_product_attention


class Window(Attention):
    """Compute `softmax(Q K^T / sqrt(d) + B) V` within each `window` x `window` square of the map.

    B is a learned number for each head and each offset from query to key. `shift` moves the squares down and right by
    so many pixels, round the edge, where pixels that are no neighbours in the map do not see each other; a map of one
    square in height (or width) is not moved that way. What a map lacks to whole squares is filled up and not seen.
    `heads` must divide the channels. `residual=True` adds the input to the result. The paper's linear layer after the
    attention is left out, as in `self_attention`. 3 (c^2 + c) + heads (2 window - 1)^2 parameters.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        window: int = 4,
        shift: int = 0,
        heads: int = 1,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if window < 1:
            raise ValueError(f"window={window} must be at least 1")
        if not 0 <= shift < window:
            raise ValueError(f"shift={shift} must be at least 0 and below window={window}")
        self.scale = 1 / math.sqrt(head_channels(channels, heads))
        self.window = window
        self.shift = shift
        self.heads = heads
        self.residual = residual
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.relative_bias = nn.Parameter(0.02 * torch.randn(heads, 2 * window - 1, 2 * window - 1))

    def shifts(self, x: Tensor) -> tuple[int, int]:
        """Return by how much the windows are moved down and right on this map."""
        return (
            self.shift if x.shape[2] > self.window else 0,
            self.shift if x.shape[3] > self.window else 0,
        )

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, each (batch, windows * heads, window^2, d)."""
        side = self.window
        down, right = self.shifts(x)
        tokens = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, -x.shape[3] % side, 0, -x.shape[2] % side))
        tokens = tokens.roll((-down, -right), (1, 2))  # (batch, height, width, channels), of whole windows

        def split(projected: Tensor) -> Tensor:
            parts = projected.unflatten(3, (self.heads, -1)).unflatten(2, (-1, side)).unflatten(1, (-1, side))
            parts = parts.permute(0, 1, 3, 5, 2, 4, 6)  # (batch, down, across, heads, window, window, d)
            return parts.flatten(4, 5).flatten(1, 3)  # (batch, windows * heads, window^2, d)

        return split(self.query(tokens)), split(self.key(tokens)), split(self.value(tokens))

    def bias(self, x: Tensor) -> Tensor:
        """Return the relative bias, and minus infinity for the pairs that do not see each other:
        (windows * heads, window^2, window^2)."""
        side = self.window
        # The key that is k rows down in its window is, from the query i rows down, at entry k - i + window - 1.
        pairs = self.relative_bias.unfold(1, side, 1).unfold(2, side, 1).flip(1, 2)
        pairs = pairs.reshape(self.heads, side * side, side * side)

        def regions(extent: int, shift: int) -> Tensor:
            # 0: where it was; 1: moved round the edge; 2: filled up
            index = torch.arange(extent + -extent % side, device=x.device).roll(-shift)
            return torch.where(index < extent, (index < shift).long(), 2)

        rows, columns = (regions(extent, shift) for extent, shift in zip(x.shape[2:], self.shifts(x), strict=True))
        region = (3 * rows[:, None] + columns).unflatten(1, (-1, side)).unflatten(0, (-1, side))
        region = region.transpose(1, 2).flatten(2).flatten(0, 1)  # (windows, window^2)
        apart = region[:, None, :, None] != region[:, None, None, :]  # (windows, 1, window^2, window^2)
        return torch.where(apart, -math.inf, pairs).flatten(0, 1)

    def join(self, windows: Tensor, x: Tensor) -> Tensor:
        """Undo what `project` did to the places: (batch, windows * heads, window^2, d) to (batch, height, width, heads,
        d)."""
        side = self.window
        down, right = self.shifts(x)
        parts = windows.unflatten(2, (side, side)).unflatten(1, (-(-x.shape[2] // side), -1, self.heads))
        parts = parts.permute(0, 1, 4, 2, 5, 3, 6).flatten(3, 4).flatten(1, 2)
        return parts.roll((down, right), (1, 2))[:, : x.shape[2], : x.shape[3]]

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x)
        attended = dot_product_attention(query, key, value, attn_mask=self.bias(x)[None], scale=self.scale)
        out = self.join(attended, x).flatten(3).contiguous().permute(0, 3, 1, 2)  # in channels_last
        return x + out if self.residual else out

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over heads and queries the weight that each pixel receives: (batch, height, width)."""
        query, key, _ = self.project(x)
        weights = torch.softmax(query @ key.transpose(-2, -1) * self.scale + self.bias(x), dim=-1)
        received = self.join(weights.sum(dim=-2).unsqueeze(-1), x)  # (batch, height, width, heads, 1)
        return received.mean(dim=(3, 4)) / (x.shape[2] * x.shape[3])
