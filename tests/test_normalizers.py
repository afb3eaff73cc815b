"""What stands for softmax, against formulas in float64: the thresholds of sparsemax and entmax by bisection, and what
they maximise by SciPy."""

import math

import numpy as np
import pytest
import torch
from formulas.arrays import Array
from formulas.self_attention import NORMALIZED
from scipy.optimize import minimize
from torch import Tensor

from attn_train.ops.normalizers import NORMALIZERS

SIMPLEX = ("sparsemax", "entmax")


def scores(*shape: int, scale: float = 1.0, seed: int = 5) -> Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("count", [1, 2, 3, 17, 64])
def test_the_weights_are_the_formulas(name: str, scale: float, count: int) -> None:
    given = scores(3, 4, count, scale=scale)
    expected = np.apply_along_axis(NORMALIZED[name], -1, given.numpy())
    np.testing.assert_allclose(NORMALIZERS[name](given).numpy(), expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    for scale in (0.5, 3.0):
        assert torch.autograd.gradcheck(NORMALIZERS[name], scores(4, 6, scale=scale).requires_grad_())


def tsallis(weights: Array, alpha: float) -> float:
    """The entropy of order alpha: sum (p - p^alpha) / (alpha (alpha - 1))."""
    return float((weights - weights**alpha).sum() / (alpha * (alpha - 1)))


@pytest.mark.parametrize(("name", "alpha"), [("sparsemax", 2.0), ("entmax", 1.5)])
def test_they_are_largest_where_the_papers_say(name: str, alpha: float) -> None:
    """The weights are those that maximise p s + the Tsallis entropy over the simplex."""
    for seed in range(4):
        given = scores(7, scale=1.5, seed=seed)
        values = given.numpy()

        def loss(weights: Array, values: Array = values) -> float:
            return -(float(weights @ values) + tsallis(np.maximum(weights, 0), alpha))

        found = minimize(
            loss,
            np.full(7, 1 / 7),
            method="SLSQP",
            bounds=[(0, 1)] * 7,
            constraints=[{"type": "eq", "fun": lambda weights: weights.sum() - 1}],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        ours = NORMALIZERS[name](given).numpy()
        assert loss(ours) <= loss(found.x) + 1e-9
        np.testing.assert_allclose(ours, found.x, atol=2e-4)


@pytest.mark.parametrize("name", SIMPLEX)
def test_equal_scores_share_and_one_far_above_takes_all(name: str) -> None:
    torch.testing.assert_close(NORMALIZERS[name](torch.zeros(5)), torch.full((5,), 0.2))
    torch.testing.assert_close(NORMALIZERS[name](torch.tensor([3.0, 3.0, -50.0])), torch.tensor([0.5, 0.5, 0.0]))
    torch.testing.assert_close(NORMALIZERS[name](torch.tensor([90.0, 0.0, 1.0])), torch.tensor([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("name", NORMALIZERS)
def test_large_scores_and_their_gradients_are_finite(name: str) -> None:
    for values in ([500.0, -500.0, 0.0], [-500.0, -400.0, -300.0], [1e4, 1e4, 1e4], [0.0, 0.0, 0.0]):
        given = torch.tensor(values, requires_grad=True)
        weights = NORMALIZERS[name](given)
        (gradient,) = torch.autograd.grad((weights * torch.tensor([1.0, -2.0, 3.0])).sum(), given)
        assert weights.isfinite().all(), values
        assert gradient.isfinite().all(), values


@pytest.mark.parametrize("name", NORMALIZERS)
def test_scores_in_bfloat16_are_weighed_in_float32(name: str) -> None:
    given = scores(2, 300, scale=2.0).bfloat16()
    found = NORMALIZERS[name](given)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), NORMALIZERS[name](given.double()), rtol=1e-4, atol=1e-6)


def test_the_sum_of_sigmoids_does_not_grow_with_the_map() -> None:
    for count in (4, 64, 1024):
        total = float(NORMALIZERS["sigmoid"](torch.zeros(count, dtype=torch.float64)).sum())
        assert math.isclose(total, count / (count + 1))
