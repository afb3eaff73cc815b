"""The exponential moving average of a model's weights and statistics, often a better model than the last step's.

torch.optim.swa_utils would average the counters of batches too, or no statistics at all.
"""

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Keep the exponential moving average of `model`'s parameters and buffers.

    Step n moves it by at least 10 / (10 + n), even if `decay` is near one: otherwise the average of a short run would
    be mostly its first weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model)
        self.decay = decay

    def tensors(self, model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tensors that are averaged, and the counters, which are copied."""
        tensors = list(model.state_dict().values())
        return [t for t in tensors if t.is_floating_point()], [t for t in tensors if not t.is_floating_point()]

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards the weights after `step` (from 1) optimizer steps."""
        decay = min(self.decay, step / (10 + step)) if step > 1 else 0.0
        averages, counters = self.tensors(self.model)
        values, counts = self.tensors(model)
        torch._foreach_lerp_(averages, values, 1 - decay)
        for counter, count in zip(counters, counts, strict=True):
            counter.copy_(count)
