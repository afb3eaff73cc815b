"""softmax(QK^T)V, the core of the token mechanisms (Vaswani et al., 2017, arXiv 1706.03762, section 3.2.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# On a CPU torch's fused kernel handles so few keys, in training, two to five times as slowly as two matrix products do
# (scripts/peers.py). With a bound on the keys the matrix between them is linear in the queries.
FEW_KEYS = 64


def dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Return `softmax(scale Q K^T + mask) V` for (..., n, d), (..., m, d) and (..., m, d): (..., n, d).

    `scale` is by default 1 / sqrt(d). The mask is added to the scores; one of booleans says which keys are seen. The
    n x m matrix is built on a CPU for at most FEW_KEYS keys, and where the mask, of that size itself, is learned.
    """
    learned = attn_mask is not None and attn_mask.requires_grad
    if query.device.type == "cpu" and (key.shape[-2] <= FEW_KEYS or learned):
        return written_out(query, key, value, attn_mask, scale)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, scale=scale)


def written_out(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, scale: float | None) -> Tensor:
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    # Autocast would turn the matrix into float32; softmax computes in float32 and rounds once, whatever it is given.
    with torch.autocast("cpu", enabled=False):
        scores = (query.to(value.dtype) * scale) @ key.to(value.dtype).transpose(-2, -1)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask.to(scores.dtype)
        return torch.softmax(scores, dim=-1) @ value
