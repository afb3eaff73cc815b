"""Measure one cell in a process of its own, which a limit or the system may end.

It is `python -m attn_train.cost.bench.measure`. The task comes as JSON on standard input; each figure goes to standard
output as soon as it is known, in a line with a JSON object.
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
from attn_train.plugins import offered

Report = Callable[..., None]


def timings(step: Callable[[], object], device: Device, repetitions: int, least: float) -> list[float]:
    """Return seconds a call, `repetitions` times, each over as many calls as take `least` seconds.

    torch.utils.benchmark makes uncounted calls before each repetition, which would double the time of a slow step.
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
    """A mechanism on a random map: its forward pass as in an evaluation, its training step (forward and backward)."""

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

    def free(self) -> None:
        """Free the memory that a step left, so that the next one starts as the first did."""
        self.module.zero_grad(set_to_none=True)
        self.x = self.x.detach()
        self.gradient = None


class RefusedError(Exception):
    """A mechanism that cannot be made for a map of this size."""


def make(task: dict[str, Any]) -> nn.Module:
    """Make the mechanism of a task; raise RefusedError where its map or options are refused."""
    try:
        return build(task["name"], task["options"], task["channels"], task["side"])
    except (ValueError, ConfigError) as error:
        raise RefusedError(str(error)) from error


def count(task: dict[str, Any], place: str) -> dict[str, int]:
    """Count parameters and the multiply-adds of one image; on the meta device without computing anything."""
    with torch.device(place):
        module = make(task)
        shape = (task["channels"], task["side"], task["side"])
        return {"parameters": count_parameters(module), "macs": count_macs(module, shape)}


def measure(task: dict[str, Any], report: Report) -> None:
    """Measure the cell that `task` describes, and report each figure once it is known."""
    offered.offer(task["plugins"], [task["name"]])
    device = Device(**task["device"])
    devices.configure(device, keep_memory=False)
    torch.manual_seed(task["seed"])
    counted = False
    with suppress(RuntimeError):  # an operator without a meta kernel: counted last, on a real map
        report(**count(task, "meta"))
        counted = True
    report(stage="start")  # from here on the time counts
    if device.kind == "cpu" and task["memory_limit"] is not None:
        memory.limit_this_process(task["memory_limit"])
    elif device.kind == "cuda" and task["memory_limit"] is not None:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, task["memory_limit"] / total))
    module = make(task)
    module = module.to(device.place, memory_format=device.memory_format)  # type: ignore[call-overload]
    work = Work(module, (task["batch"], task["channels"], task["side"], task["side"]), device)
    steps = (("forward", work.forward), ("training", work.training_step))
    for name, step in steps:
        report(stage=f"{name} memory")
        # Once unmeasured: the memory of kernels' code, threads and work space, and of a compiler, is not the map's.
        step()
        work.free()
        peak = memory.Peak(device)
        step()
        devices.synchronize(device)
        report(**{f"{name}_bytes": peak.bytes()})
    if device.kind == "cpu":
        # A training run keeps freed memory, so the timings do too. Such a heap has gaps and may pass the limit, within
        # which the cell is now known to fit: the limit is raised to what is free.
        keep_freed_memory()
        if task["memory_limit"] is not None and (free := memory.available()) is not None:
            memory.limit_this_process(max(task["memory_limit"], free * 4 // 5))
    for name, step in steps:
        report(stage=f"{name} time")
        step()
        report(**{f"{name}_seconds": timings(step, device, task["repetitions"], task["sample_seconds"])})
    if not counted:
        with suppress(RuntimeError, MemoryError):  # then the number stays unknown
            report(**count(task, "cpu"))


def main() -> None:
    # Nothing but the figures may reach the reader of standard output: all other prints go to standard error.
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def report(**figures: Any) -> None:
        print(json.dumps(figures), file=output, flush=True)

    task = json.loads(sys.stdin.read())
    if hasattr(signal, "alarm"):
        # Ends this process even if the one that keeps the time limit has died.
        signal.alarm(math.ceil(task["time_limit"]) + 60)
    try:
        measure(task, report)
        report(status="ok", reason="")
    except RefusedError as error:
        report(status="refused", reason=" ".join(str(error).split()))
    except Exception as error:
        text = " ".join(str(error).split())
        if isinstance(errors.expected(error), errors.ResourceError) or "bad_alloc" in text:
            report(status="out of memory", reason=text)
        else:
            report(status="failed", reason=f"{type(error).__name__}: {text}")


if __name__ == "__main__":
    main()
