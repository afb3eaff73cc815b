"""Train airbench94_muon's recipe, its file unchanged: python airbench.py FILE SEED [COUNT].

The last line printed is the accuracy in per cent. With COUNT a warm-up comes first, which compiles, then so many seeds
in the same process, and each prints its accuracy and its seconds by airbench's own clock: of training and of the final
test.

It is written for CUDA and float16. Where there is no CUDA it runs on the CPU, its half precision being bfloat16
autocast, or float32 where the CPU multiplies that faster, as this project's own runs choose; its compilation, views and
tests of each epoch stay as they are. Its warm-up run (which only compiles) is left out of a single run, because
compilation counts there.
"""

import contextlib
import importlib.util
import io
import sys
import time
from typing import Any

import torch
from torch import nn

from attn_train.machine.device import has_fast_bfloat16


class Event:
    """A CUDA event's part in timing, by the clock."""

    def __init__(self, **_: Any) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def elapsed_time(self, other: "Event") -> float:
        return 1e3 * (other.at - self.at)


def move_to_cpu() -> None:
    """Let what asks for CUDA and float16 have the CPU and float32."""
    load = torch.load
    patches: list[tuple[Any, str, Any]] = [
        (torch.cuda, "Event", Event),
        (torch.cuda, "synchronize", lambda: None),
        (torch, "load", lambda path, map_location=None: load(path, map_location="cpu")),
        (torch.Tensor, "half", torch.Tensor.float),
        (nn.Module, "half", nn.Module.float),
        (nn.Module, "cuda", lambda module: module),
    ]
    for owner, name, value in patches:
        setattr(owner, name, value)


def multiply_in_bfloat16(network: type[nn.Module]) -> None:
    """Run the network's forward pass, and so its backward pass, under autocast; nothing else, least of all the
    whitening, whose eigenvalues need more digits."""
    forward = network.forward

    def under_autocast(self: nn.Module, *arguments: Any, **options: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits: torch.Tensor = forward(self, *arguments, **options)
        return logits.float()

    network.forward = under_autocast


def main() -> None:
    path, seed = sys.argv[1], int(sys.argv[2])
    sys.argv[0] = path  # the file reads its own text
    on_cpu = not torch.cuda.is_available()
    if on_cpu:
        move_to_cpu()
    spec = importlib.util.spec_from_file_location("airbench94_muon", path)
    assert spec is not None
    assert spec.loader is not None
    airbench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(airbench)
    if on_cpu and has_fast_bfloat16("cpu"):
        multiply_in_bfloat16(airbench.CifarNet)
    torch.manual_seed(seed)
    model = airbench.CifarNet().cuda().to(memory_format=torch.channels_last)
    model.compile(mode="default" if on_cpu else "max-autotune")
    if len(sys.argv) == 3:
        print(100 * airbench.main(seed, model))
        return
    airbench.main("warmup", model)
    for number in range(seed, seed + int(sys.argv[3])):
        torch.manual_seed(number)
        table = io.StringIO()
        with contextlib.redirect_stdout(table):
            accuracy = airbench.main(number, model)
        last = table.getvalue().split("|")[-2]  # its table ends with the column of seconds
        print(100 * accuracy, float(last), flush=True)


if __name__ == "__main__":
    main()
