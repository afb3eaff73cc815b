"""torch.compile, once for each architecture and shape in a process: seeds share what is compiled."""

import types
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn


def call(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


# Bounded, because each holds code, and on a GPU workspace; a study's arms fit.
@lru_cache(maxsize=64)
def compiled_call(architecture: str, shape: torch.Size) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return `call` compiled, for one architecture and one shape of its input.

    torch.compile keeps a handful of graphs for one code object and then runs uncompiled. So each of these has a code
    object of its own.
    """
    code = call.__code__.replace(co_name=call.__name__)
    return torch.compile(types.FunctionType(code, globals()), dynamic=False)


def compile_model(model: nn.Module, architecture: str) -> Callable[[Tensor], Tensor]:
    """Return `model` compiled, at the first batch of each shape; models of one `architecture` share what is compiled.

    `architecture` is a text that is equal only for models which compute the same function of their parameters.
    """

    def forward(images: Tensor) -> Tensor:
        return compiled_call(architecture, images.shape)(model, images)

    return forward
