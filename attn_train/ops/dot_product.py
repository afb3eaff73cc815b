"""softmax(QK^T)V, the core of the token mechanisms (Vaswani et al., 2017, arXiv 1706.03762, section 3.2.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# With at most so many keys, training on a CPU, torch's fused kernel is two to five times as slow as two matrix products
# (scripts/peers.py). As the keys are bounded, the matrix of scores grows only linearly with the queries.
FEW_KEYS = 65  # a map of 8x8 pixels, and the sink of self_attention


def dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Return `softmax(scale Q K^T + mask) V`: (..., n, d).

    The n x m matrix of scores is built only on a CPU: for at most FEW_KEYS keys, or with a learned mask.

    Args:
        query: (..., n, d).
        key, value: (..., m, d).
        attn_mask: (..., n, m), added to the scores; of booleans: which keys each query sees.
        scale: None: 1 / sqrt(d).
    """
    learned = attn_mask is not None and attn_mask.requires_grad
    if query.device.type == "cpu" and (key.shape[-2] <= FEW_KEYS or learned):
        return written_out(query, key, value, attn_mask, scale)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, scale=scale)


def written_out(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, scale: float | None) -> Tensor:
    """Compute `dot_product_attention` by two matrix products."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    # Autocast would make the matrix float32. That gains nothing: softmax computes in float32 and rounds once.
    with torch.autocast("cpu", enabled=False):
        scores = (query.to(value.dtype) * scale) @ key.to(value.dtype).transpose(-2, -1)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask.to(scores.dtype)
        return torch.softmax(scores, dim=-1) @ value
