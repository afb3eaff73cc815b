"""softmax(QK^T)V: the same by either way, and no large matrix where the keys are many."""

import numpy as np
import pytest
import torch
from torch import Tensor

from attn_train.conformance.largest import Largest
from attn_train.ops import dot_product
from attn_train.ops.dot_product import FEW_KEYS, dot_product_attention


def textbook(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Query by query, in float64."""
    out = np.zeros((*query.shape[:-1], value.shape[-1]))
    for place in np.ndindex(*query.shape[:-1]):
        head = place[:-1]
        scores = key[head].detach().double().numpy() @ query[place].detach().double().numpy() * scale
        if mask is not None:
            row = mask.expand(*query.shape[:-1], key.shape[-2])[place].detach().numpy()
            scores = np.where(row, scores, -np.inf) if row.dtype == bool else scores + row
        shares = np.exp(scores - scores.max())
        out[place] = shares / shares.sum() @ value[head].detach().double().numpy()
    return torch.from_numpy(out)


@pytest.mark.parametrize("keys", [1, 5, FEW_KEYS, FEW_KEYS + 1])
@pytest.mark.parametrize("masked", ["not", "seen", "added", "learned"])
def test_it_is_the_formula(keys: int, masked: str) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 3, 7, 4), torch.randn(2, 3, keys, 4), torch.randn(2, 3, keys, 4)
    mask = None
    if masked == "seen":
        mask = torch.rand(2, 1, 7, keys) < 0.5
        mask[..., 0] = True
    elif masked != "not":
        mask = torch.randn(3, 7, keys)[None].requires_grad_(masked == "learned")
    found = dot_product_attention(query, key, value, attn_mask=mask, scale=0.7)
    torch.testing.assert_close(found.double(), textbook(query, key, value, mask, 0.7), rtol=1e-5, atol=1e-6)
    plain = dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(plain.double(), textbook(query, key, value, mask, 0.5), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keys", [FEW_KEYS, FEW_KEYS + 1])
def test_under_autocast_it_stays_in_bfloat16_and_close(keys: int) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 50, 16), torch.randn(2, keys, 16), torch.randn(2, keys, 16))
    with torch.autocast("cpu", torch.bfloat16):
        found = dot_product_attention(query.bfloat16(), key.bfloat16(), value.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), textbook(query, key, value, None, 0.25), rtol=0.05, atol=0.03)


@pytest.mark.parametrize("keys", [FEW_KEYS // 2, FEW_KEYS, FEW_KEYS + 1, 1000])
def test_no_matrix_has_more_columns_than_the_bound(keys: int) -> None:
    query, key = torch.randn(1, 1000, 8, requires_grad=True), torch.randn(1, keys, 8, requires_grad=True)
    with Largest() as largest:
        dot_product_attention(query, key, key).sum().backward()
    assert largest.elements <= 1000 * FEW_KEYS


def test_it_is_the_bound_that_keeps_it_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dot_product, "FEW_KEYS", 1000)
    key = torch.randn(1, 1000, 8)
    with Largest() as largest:
        dot_product_attention(key, key, key)
    assert largest.elements == 1000 * 1000
