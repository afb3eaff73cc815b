"""No attention: the baseline that every mechanism is compared with."""

from torch import Tensor

from attn_train.attention.attention import Attention


class Identity(Attention):
    """Return the feature map unchanged."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x
