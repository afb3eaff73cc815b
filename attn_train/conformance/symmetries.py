"""What changes of its input a module passes on: how far its output is from the change of its output.

Each function takes a module in evaluation and a map (batch, channels, height, width), and returns the largest distance
of an element, as a share of the largest element: about 0 where the module has the symmetry.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]
SHIFTS = ((1, 0), (0, 3), (2, 5))


def distance(found: Tensor, expected: Tensor) -> float:
    """Return the largest distance of an element from what is expected, as a share of the largest one."""
    scale = expected.detach().abs().max().item()
    return (found - expected).detach().abs().max().item() / (scale or 1.0)


def order(count: int) -> Tensor:
    """Return a fixed random order of `count` things."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(1))


def passed_on(module: nn.Module, x: Tensor, change: Change) -> float:
    """Return how far the output of the changed map is from the changed output."""
    return distance(module(change(x)), change(module(x)))


def permutation(module: nn.Module, x: Tensor) -> float:
    """Shuffle the pixels, the same for all images and channels."""
    shuffled = order(x.shape[2] * x.shape[3])
    return passed_on(module, x, lambda image: image.flatten(2)[:, :, shuffled].view(x.shape))


def shift(module: nn.Module, x: Tensor) -> float:
    """Shift the map, what leaves it on one side coming in on the other."""
    return max(passed_on(module, x, lambda image, by=by: image.roll(by, (2, 3))) for by in SHIFTS)  # type: ignore[misc]


def flip(module: nn.Module, x: Tensor) -> float:
    """Exchange left and right."""
    return passed_on(module, x, lambda image: image.flip(3))


def channels(module: nn.Module, x: Tensor) -> float:
    """Shuffle the channels."""
    shuffled = order(x.shape[1])
    return passed_on(module, x, lambda image: image[:, shuffled])


def identity(module: nn.Module, x: Tensor) -> float:
    """Change nothing: the distance of the output from the map itself."""
    return distance(module(x), x)


def alone(module: nn.Module, x: Tensor, at_once: int = 1) -> float:
    """Return how far the output for a batch is from that for `at_once` images at a time."""
    return distance(torch.cat([module(part) for part in x.split(at_once)]), module(x))


def again(module: nn.Module, x: Tensor) -> float:
    """Return how far the output of a second call is from that of the first."""
    return distance(module(x), module(x))


def channels_last(module: nn.Module, x: Tensor) -> float:
    """Return how far the output for a map in the memory format channels_last is from that for the map as it is."""
    return distance(module(x.to(memory_format=torch.channels_last)), module(x))


SYMMETRIES: dict[str, Callable[[nn.Module, Tensor], float]] = {
    "permutation of pixels": permutation,
    "circular shift": shift,
    "flip": flip,
    "permutation of channels": channels,
}
