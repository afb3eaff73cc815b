"""torch.compile: whether it works here, and once for each architecture and shape in a process: seeds share what is
compiled."""

import logging
import os
import types
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache

import torch
from torch import Tensor, nn
from torch._dynamo.exc import BackendCompilerFailed

from attn_train.errors import ConfigError
from attn_train.machine.device import Device
from attn_train.machine.surroundings import CACHE, NOWHERE

CURE = (
    "let CXX (CC on a GPU) name a compiler that works, TORCHINDUCTOR_CACHE_DIR a folder whose files may run, or say "
    "device.compile=false"
)

log = logging.getLogger(__name__)


def checked(device: Device, by_itself: bool) -> Device:
    """Return `device`, or one that does not compile where that fails and was decided on `by_itself`.

    Raises ConfigError where it fails and was asked for.
    """
    reason = why_not(device.kind) if device.compile else None
    if reason is None:
        return device
    if not by_itself:
        raise ConfigError(f"device.compile=true: compiling fails: {reason}; {CURE}")
    log.warning("device.compile=auto: not compiling, which fails: %s", reason)
    return replace(device, compile=False)


@cache
def why_not(kind: str) -> str | None:
    """Compile a sum for the device `kind`; return None, or in a line why that fails.

    A compiler can be missing or broken, and what it makes may have no place, or may not run there.
    """
    if os.environ.get(CACHE) == NOWHERE:
        return "no folder takes what the compiler makes"
    logging.disable(logging.WARNING)  # what fails is told in one line, not in torch's many
    try:
        torch.compile(lambda number: number + 1, dynamic=False)(torch.zeros(1, device=kind))
    except Exception as error:  # there is no end of what a broken compiler leads to
        return in_a_line(error)
    finally:
        logging.disable(logging.NOTSET)
    return None


def in_a_line(error: Exception) -> str:
    """Return the line that tells most: the compiler's first error, else the beginning."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if "error: " in line), lines[0]).strip().rstrip(".")


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
        try:
            return compiled_call(architecture, images.shape)(model, images)
        except BackendCompilerFailed as error:
            raise ConfigError(f"device.compile: this network cannot be compiled: {in_a_line(error)}; {CURE}") from error

    return forward
