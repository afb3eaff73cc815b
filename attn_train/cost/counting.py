"""Count the parameters of a model and the multiply-adds of one image."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

Shape = Sequence[int]


def _matrix_vector(matrix: Shape, vector: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _plus_matrix_vector(start: Shape, matrix: Shape, vector: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(matrix)


def _dot(left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left)


def _plus_sum_of_products(start: Shape, left: Shape, right: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(left) * right[-1]


def _recurrent(steps: int, batch: int, weights: Iterable[Shape]) -> int:
    return 2 * steps * batch * sum(prod(weight) for weight in weights if len(weight) == 2)


def _recurrent_on_cpu(sequence: Shape, into: Shape, back: Shape, *_: Any, **__: Any) -> int:
    return _recurrent(sequence[0], sequence[1], [into, back])


def _recurrent_on_cuda(sequence: Shape, weights: Sequence[Shape], *_: Any, **__: Any) -> int:
    return _recurrent(sequence[0], sequence[1], weights)


# Products that torch's counter does not know, in its unit, which is two operations a multiply-add.
UNKNOWN_TO_TORCH = {
    torch.ops.aten.mv: _matrix_vector,
    torch.ops.aten.addmv: _plus_matrix_vector,
    torch.ops.aten.dot: _dot,
    torch.ops.aten.vdot: _dot,
    torch.ops.aten.addbmm: _plus_sum_of_products,
    # Recurrent layers in one call, of sequences (steps, batch, channels); on CUDA the first two may be swapped.
    torch.ops.aten.mkldnn_rnn_layer: _recurrent_on_cpu,
    torch.ops.aten._cudnn_rnn: _recurrent_on_cuda,
}


def count_parameters(model: nn.Module) -> int:
    """Count the parameters, those that are not trained included."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def count_macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count the multiply-adds of convolutions and matrix products for one image of `shape` (channels, height,
    width).

    A model without parameters is counted on torch's default device. On the meta device nothing is computed and no
    memory is needed.
    """
    was_training = model.training
    model.eval()
    parameter = next(model.parameters(), None)
    place = torch.get_default_device() if parameter is None else parameter.device
    kind = torch.get_default_dtype() if parameter is None else parameter.dtype
    image = torch.zeros(1, *shape, device=place, dtype=kind)
    # Fused attention counts 0 on the CPU (before torch 2.15), so its plain form is used, two products.
    # nn.MultiheadAttention has a fused form of its own.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False, custom_mapping=UNKNOWN_TO_TORCH) as counter, sdpa_kernel(SDPBackend.MATH):
            model(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        model.train(was_training)
    return int(counter.get_total_flops()) // 2
