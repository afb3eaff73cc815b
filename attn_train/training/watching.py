"""Look at what the modules of a network are given while it evaluates images."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

# Called with a module's input.
Record = Callable[[Tensor], None]


@torch.no_grad()
def watch(model: nn.Module, images: Tensor, records: Mapping[str, Record]) -> None:
    """Evaluate `model` on normalised `images`, (n, channels, height, width), and call what `records` has for a module,
    by its name, with that module's input."""
    parts = dict(model.named_modules())

    def hook(record: Record) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: record(inputs[0])

    handles = [parts[name].register_forward_pre_hook(hook(record)) for name, record in records.items()]
    try:
        model.eval()
        model(images)
    finally:
        for handle in handles:
            handle.remove()
