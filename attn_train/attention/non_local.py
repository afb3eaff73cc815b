"""The non-local block: each position receives the others, weighed by a function of the pair (Wang et al., 2017,
arXiv 1711.07971)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_train.attention.attention import Attention, reduced_channels
from attn_train.ops.convolution import Conv1x1
from attn_train.ops.dot_product import dot_product_attention


class NonLocal(Attention):
    """Compute `x + BatchNorm(W_z y)` with `y_i = sum_j weight_ij value_j`; the pixels of the map are the tokens.

    `pairing` gives the weight: `gaussian` is `softmax_j(x_i . x_j)`, `embedded_gaussian` `softmax_j(query_i . key_j)`,
    `dot_product` `query_i . key_j / n` and `concatenation` `relu(w . [query_i, key_j]) / n`. Queries, keys and values
    (the paper's theta, phi and g) have `inner = channels / reduction` channels. The norm's scale begins at zero, so the
    block begins as the identity. 4 c inner + 3 inner + 2 c parameters; `gaussian` has no queries and keys and
    2 (c + 1) inner fewer, `concatenation` 2 inner more. None builds the n x n matrix.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        pairing: Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"] = "embedded_gaussian",
        reduction: int = 2,
    ) -> None:
        super().__init__()
        self.pairing = pairing
        inner = reduced_channels(channels, reduction)
        self.query = nn.Identity() if pairing == "gaussian" else nn.Linear(channels, inner)
        self.key = nn.Identity() if pairing == "gaussian" else nn.Linear(channels, inner)
        self.value = nn.Linear(channels, inner)
        # The two halves of the paper's w.
        self.query_score = nn.Linear(inner, 1, bias=False) if pairing == "concatenation" else nn.Identity()
        self.key_score = nn.Linear(inner, 1, bias=False) if pairing == "concatenation" else nn.Identity()
        self.project = Conv1x1(inner, channels, bias=False)  # the norm has a bias
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (batch, n, channels), n = height * width
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)  # (batch, n, inner)
        if self.pairing == "dot_product":
            attended = query @ (key.transpose(1, 2) @ (value / tokens.shape[1]))
        elif self.pairing == "concatenation":
            a, b = self.query_score(query).squeeze(2), self.key_score(key).squeeze(2)  # (batch, n)
            attended = sum_of_relus(a, b, value / tokens.shape[1])
        else:
            # The fused kernels want contiguous rows, values as wide as the keys, and heads: here one.
            wide = F.pad(value, (0, key.shape[2] - value.shape[2]))
            query, key, wide = (each.contiguous().unsqueeze(1) for each in (query, key, wide))  # (batch, 1, n, d)
            attended = dot_product_attention(query, key, wide, scale=1.0).squeeze(1)
            attended = attended[:, :, : value.shape[2]]
        return x + self.norm(self.project(attended.transpose(1, 2).unflatten(2, x.shape[2:])))

    def attention_map(self, x: Tensor) -> Tensor:
        """Average over the queries the weight that each position receives: (batch, height, width).

        Of a dot product it can be negative. Only here is the n x n matrix built.
        """
        tokens = x.flatten(2).transpose(1, 2)
        query, key = self.query(tokens), self.key(tokens)
        if self.pairing == "concatenation":
            weights = torch.relu(self.query_score(query) + self.key_score(key).transpose(1, 2)) / tokens.shape[1]
        else:
            scores = query @ key.transpose(1, 2)  # (batch, n, n)
            weights = scores / tokens.shape[1] if self.pairing == "dot_product" else torch.softmax(scores, dim=2)
        return weights.mean(dim=1).unflatten(1, x.shape[2:])


def sum_of_relus(a: Tensor, b: Tensor, value: Tensor) -> Tensor:
    """Return `sum_j relu(a_i + b_j) value_j` for each i, without the n x n matrix; (batch, n, d).

    With the b sorted from the largest, those that count for an i are the first few, and their sums are prefix sums:
    `a_i sum_j value_j + sum_j b_j value_j`. a and b are (batch, n), value is (batch, n, d).
    """
    dtype = torch.promote_types(value.dtype, torch.float32)  # prefix sums in bfloat16 would lose their last terms
    b, order = b.to(dtype).sort(dim=1, descending=True)
    ordered = value.to(dtype).gather(1, order.unsqueeze(2).expand_as(value))
    terms = torch.cat([ordered, b.unsqueeze(2) * ordered], dim=2)  # (batch, n, 2 d)
    sums = F.pad(terms.cumsum(dim=1), (0, 0, 1, 0))  # (batch, n + 1, 2 d), row k of the first k
    a = a.to(dtype)
    counted = torch.searchsorted(-b.detach(), a.detach())  # (batch, n), how many b_j > -a_i
    plain, scaled = sums.gather(1, counted.unsqueeze(2).expand(-1, -1, sums.shape[2])).chunk(2, dim=2)
    return (a.unsqueeze(2) * plain + scaled).to(value.dtype)
