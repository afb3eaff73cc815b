"""How much memory the largest tensor of a computation takes."""

from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Largest(TorchDispatchMode):
    """Remember the size of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *sizes])
        return out


def largest(module: nn.Module, x: Tensor, **arguments: Any) -> int:
    """Return the number of elements of the largest tensor that a training step, forward and backward, makes."""
    with Largest() as found:
        out = module(x.requires_grad_(), **arguments)
        (out[0] if isinstance(out, tuple) else out).sum().backward()
    return found.elements
