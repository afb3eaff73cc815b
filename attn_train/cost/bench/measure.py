"""Measure one cell in a process of its own, which a limit or the system may end.

It is `python -m attn_train.cost.bench.measure`. The order comes as JSON on standard input; what is found goes to
standard output as it is found, a JSON object a line.
"""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from attn_train import errors
from attn_train.cost.bench.cells import build
from attn_train.cost.counting import count_macs, count_parameters
from attn_train.errors import ConfigError
from attn_train.machine import device as devices, memory
from attn_train.machine.allocator import keep_freed_memory
from attn_train.machine.device import Device

Say = Callable[..., None]


def timings(step: Callable[[], object], device: Device, repetitions: int, least: float) -> list[float]:
    """Return seconds a call, `repetitions` times, each over as many calls as take `least` seconds.

    torch.utils.benchmark makes calls that it does not count before each repetition: of a slow step they cost as much.
    """

    def run(calls: int) -> float:
        devices.synchronize(device)
        started = time.perf_counter()
        for _ in range(calls):
            step()
        devices.synchronize(device)
        return time.perf_counter() - started

    calls = 1
    while (taken := run(calls)) < least:
        calls = math.ceil(calls * min(10.0, 1.2 * least / max(taken, 1e-9)))
    return [run(calls) / calls for _ in range(repetitions)]


class Work:
    """A mechanism and a random map: its forward pass as in a test, and its training step (forward and backward)."""

    def __init__(self, module: nn.Module, shape: tuple[int, int, int, int], device: Device) -> None:
        self.device = device
        self.module = module
        if device.compile:
            self.module = torch.compile(module)  # type: ignore[assignment]
        kind = torch.bfloat16 if device.precision == "bfloat16" else torch.float32
        x = torch.randn(shape, device=device.place, dtype=kind)
        self.x = x.to(memory_format=device.memory_format)
        self.gradient: Tensor | None = None

    @torch.no_grad()
    def forward(self) -> Tensor:
        self.module.eval()
        with self.device.autocast():
            return self.module(self.x)

    def training_step(self) -> None:
        self.module.train()
        self.module.zero_grad(set_to_none=True)
        x = self.x.requires_grad_()
        x.grad = None
        with self.device.autocast():
            out = self.module(x)
        if self.gradient is None:
            self.gradient = torch.randn_like(out)
        out.backward(self.gradient)

    def let_go(self) -> None:
        """Free what a step left; the next one finds memory as the first one did."""
        self.module.zero_grad(set_to_none=True)
        self.x = self.x.detach()
        self.gradient = None


class RefusedError(Exception):
    """A mechanism that cannot be made for a map of this size."""


def make(order: dict[str, Any]) -> nn.Module:
    try:
        return build(order["name"], order["options"], order["channels"], order["side"])
    except (ValueError, ConfigError) as error:
        raise RefusedError(str(error)) from error


def count(order: dict[str, Any], place: str) -> dict[str, int]:
    """Count parameters and the multiply-adds of one image; on the meta device without computing anything."""
    with torch.device(place):
        module = make(order)
        shape = (order["channels"], order["side"], order["side"])
        return {"parameters": count_parameters(module), "macs": count_macs(module, shape)}


def measure(order: dict[str, Any], say: Say) -> None:
    """Measure the cell that `order` describes, and say each figure once it is known."""
    device = Device(**order["device"])
    devices.configure(device, keep_memory=False)
    torch.manual_seed(order["seed"])
    counted = False
    with suppress(RuntimeError):  # an operator without a meta kernel: counted last, on a real map
        say(**count(order, "meta"))
        counted = True
    say(stage="start")  # from here on the time counts
    if device.kind == "cpu" and order["memory_limit"] is not None:
        memory.limit_this_process(order["memory_limit"])
    elif device.kind == "cuda" and order["memory_limit"] is not None:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, order["memory_limit"] / whole))
    module = make(order)
    module = module.to(device.place, memory_format=device.memory_format)  # type: ignore[call-overload]
    work = Work(module, (order["batch"], order["channels"], order["side"], order["side"]), device)
    steps = (("forward", work.forward), ("training", work.training_step))
    for name, step in steps:
        say(stage=f"{name} memory")
        # Once unmeasured: the code of kernels, their threads and work space, and a compiler do not grow with the map.
        step()
        work.let_go()
        peak = memory.Peak(device)
        step()
        devices.synchronize(device)
        say(**{f"{name}_bytes": peak.bytes()})
    if device.kind == "cpu":
        # Time is that of a training run, which keeps what it frees. Such a heap has gaps, so that the limit, inside
        # which the cell has just been shown to fit, gives way to what is free.
        keep_freed_memory()
        if order["memory_limit"] is not None and (free := memory.available()) is not None:
            memory.limit_this_process(max(order["memory_limit"], free * 4 // 5))
    for name, step in steps:
        say(stage=f"{name} time")
        step()
        say(**{f"{name}_seconds": timings(step, device, order["repetitions"], order["sample_seconds"])})
    if not counted:
        with suppress(RuntimeError, MemoryError):  # then the number is not known
            say(**count(order, "cpu"))


def main() -> None:
    # Whatever else is printed here must not reach the reader of standard output.
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**found: Any) -> None:
        print(json.dumps(found), file=told, flush=True)

    order = json.loads(sys.stdin.read())
    if hasattr(signal, "alarm"):
        # Should nobody be left who watches the time.
        signal.alarm(math.ceil(order["time_limit"]) + 60)
    try:
        measure(order, say)
        say(status="ok", reason="")
    except RefusedError as error:
        say(status="refused", reason=" ".join(str(error).split()))
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(errors.expected(error), errors.ResourceError) or "bad_alloc" in text:
            say(status="out of memory", reason=text)
        else:
            say(status="failed", reason=f"{type(error).__name__}: {text}")


if __name__ == "__main__":
    main()
