"""torch.compile: check that it works; compile once for each architecture and shape, so that seeds share the code."""

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
    """Return `device`, without compiling where that fails.

    Args:
        by_itself: whether the program decided to compile; else the user asked for it, and a failure is a ConfigError.
    """
    reason = failure(device.kind) if device.compile else None
    if reason is None:
        return device
    if not by_itself:
        raise ConfigError(f"device.compile=true: compiling fails: {reason}; {CURE}")
    log.warning("device.compile=auto: not compiling, which fails: %s", reason)
    return replace(device, compile=False)


@cache
def failure(kind: str) -> str | None:
    """Compile a sum for the device `kind`; return in a line why that fails, or None.

    The compiler may be missing or broken, or the folder for its files may refuse them or not let them run.
    """
    if os.environ.get(CACHE) == NOWHERE:
        return "no folder takes what the compiler makes"
    logging.disable(logging.WARNING)  # the reason is one line, not torch's many
    try:
        torch.compile(lambda number: number + 1, dynamic=False)(torch.zeros(1, device=kind))
    except Exception as error:  # a broken compiler can raise nearly any kind of error
        return first_error(error)
    finally:
        logging.disable(logging.NOTSET)
    return None


def first_error(error: Exception) -> str:
    """Return the line with the compiler's first error, else the first line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if "error: " in line), lines[0]).strip().rstrip(".")


def call(model: nn.Module, images: Tensor) -> Tensor:
    return model(images)


# Bounded, because each holds code, and on a GPU workspace; the arms of a study fit.
@lru_cache(maxsize=64)
def compiled_call(architecture: str, shape: torch.Size) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return `call` compiled, for one architecture and one shape of its input."""
    # torch.compile keeps a few graphs for a code object and then runs uncompiled, so each function has its own.
    code = call.__code__.replace(co_name=call.__name__)
    return torch.compile(types.FunctionType(code, globals()), dynamic=False)


def compile_model(model: nn.Module, architecture: str) -> Callable[[Tensor], Tensor]:
    """Return `model` compiled, at the first batch of each shape.

    Args:
        architecture: a text that is equal only for models which compute the same function of their parameters; these
            share what is compiled.
    """

    def forward(images: Tensor) -> Tensor:
        try:
            return compiled_call(architecture, images.shape)(model, images)
        except BackendCompilerFailed as error:
            raise ConfigError(
                f"device.compile: this network cannot be compiled: {first_error(error)}; {CURE}"
            ) from error

    return forward
