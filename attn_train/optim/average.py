"""A moving average of a model's weights and statistics: often a better model than the last step's.

torch.optim.swa_utils would average the counters of batches too, or no statistics at all.
"""

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keeps the exponential moving average of `model`'s parameters and buffers.

    After n steps it moves by 10 / (10 + n) at least, however near one `decay` is: else a short run's average would be
    mostly of its first weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self.decay = decay

    def tensors(self, model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tensors that are averaged, and the counters, which are copied."""
        every = list(model.state_dict().values())
        return [one for one in every if one.is_floating_point()], [one for one in every if not one.is_floating_point()]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after `step` (from 1) optimizer steps."""
        decay = min(self.decay, step / (10 + step)) if step > 1 else 0.0
        own, own_counts = self.tensors(self.model)
        new, new_counts = self.tensors(model)
        torch._foreach_lerp_(own, new, 1 - decay)
        for mine, count in zip(own_counts, new_counts, strict=True):
            mine.copy_(count)
