"""What a model costs: its parameters and the multiply-adds of one image."""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(model: nn.Module) -> int:
    """Count the parameters, those that are not trained included."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def count_macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count the multiply-adds of convolutions and matrix products for one image of `shape` (channels, height,
    width)."""
    was_training = model.training
    model.eval()
    parameter = next(model.parameters())
    image = torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype)
    # The counter knows no fused attention on the CPU (it counts 0 before torch 2.15); its plain form is two products.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(image)
    model.train(was_training)
    return int(counter.get_total_flops()) // 2
