"""SimAM: a gate for each element, by how far it lies from its channel's mean (Yang et al., ICML 2021)."""

import torch
from torch import Tensor

from attn_train.attention.attention import Gate
from attn_train.ops.pooling import mean


class SimAM(Gate):
    """Compute `x * sigmoid(d / (4 (mean(d) + energy_lambda)) + 1 / 2)` with `d = (x - mean(x))^2`, each channel by
    itself; no parameters.

    `energy_lambda`, above 0, keeps the quotient finite where a channel is constant. The variance mean(d) divides by the
    number of pixels, as in the paper's formula (its listing: by one less, which a map of one pixel does not have).
    """

    def __init__(self, channels: int, size: tuple[int, int], *, energy_lambda: float = 1e-4) -> None:
        super().__init__()
        if not energy_lambda > 0:
            raise ValueError(f"energy_lambda={energy_lambda} must be above 0")
        self.energy_lambda = energy_lambda

    def gate(self, x: Tensor) -> Tensor:
        squares = (x - mean(x, 2, 3)).square()  # (batch, channels, height, width)
        variance = mean(squares, 2, 3)  # (batch, channels, 1, 1)
        return torch.sigmoid(squares / (4 * (variance + self.energy_lambda)) + 0.5)
