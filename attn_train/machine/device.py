"""Where and how arithmetic runs: the device, its precision, memory format, compilation and threads.

`auto` follows a fixed rule from the kind of device, its features and the length of the run, never from a measurement:
the same command on the same machine always means the same arithmetic.
"""

import logging
import os
import shutil
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from attn_train.errors import ConfigError
from attn_train.machine.allocator import keep_freed_memory, release_freed_memory
from attn_train.machine.cores import usable_cores
from attn_train.machine.recorded import STEPS_BEFORE

# Compilation costs tens of seconds for each shape of images; a run of fewer steps with each does not earn them back.
# Measured on two CPU cores (scripts/benchmark --parts compile) and on an H100, whose recorded steps leave less to gain.
COMPILE_FROM_STEPS = {"cpu": 1_000, "cuda": 20_000}
COMPILERS = {"cpu": "a C++ compiler (g++ or clang++)", "cuda": "Triton and a C compiler (gcc or clang)"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """A device with everything about it decided."""

    kind: str  # cpu, cuda or mps
    precision: str  # float32 or bfloat16
    channels_last: bool
    compile: bool
    cuda_graphs: bool
    threads: int

    @property
    def place(self) -> torch.device:
        return torch.device(self.kind)

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def autocast(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.kind, torch.bfloat16)


def available() -> list[str]:
    """Return the kinds of device that torch can use here, `cpu` first."""
    kinds = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [kind for kind, usable in kinds.items() if usable]


def has_fast_bfloat16(kind: str) -> bool:
    """Say whether the hardware multiplies bfloat16 faster than float32."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind == "cpu":
        features = torch.cpu.get_capabilities()
        return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))
    return False


def gains_by_compiling(kind: str, steps_a_shape: int) -> bool:
    """Say whether a run of so many optimizer steps with each shape of images ends sooner if it is compiled."""
    if kind not in COMPILE_FROM_STEPS or steps_a_shape < COMPILE_FROM_STEPS[kind]:
        return False
    # Where the CPU multiplies by tiles, compiled steps are no faster: up to a quarter slower (measured likewise).
    return kind != "cpu" or not torch.cpu.get_capabilities().get("amx_bf16")


def has_compiler(kind: str) -> bool:
    """Say whether torch.compile has what it needs: on the CPU a C++ compiler; on CUDA Triton, and a C compiler for the
    code that launches its kernels; on MPS it is not used."""
    if kind == "cpu":
        return any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
    if kind == "cuda" and find_spec("triton") is not None:
        return any(shutil.which(name) for name in (os.environ.get("CC", "gcc"), "clang"))
    return False


# torch's own choice, which follows OMP_NUM_THREADS, read before anything changes it.
DEFAULT_THREADS = torch.get_num_threads()


def usable_threads() -> int:
    """Return how many threads arithmetic gets: one for each usable core, at most as many as torch would take."""
    return min(DEFAULT_THREADS, usable_cores())


def decide(
    kind: str,
    precision: str,
    channels_last: bool | None,
    compile: bool | None,
    cuda_graphs: bool | None,
    threads: int | None,
    steps_a_shape: int,
) -> Device:
    """Decide the settings of a device that were left on `auto` (kind, precision) or None (the others).

    Raises ConfigError for a device that this machine lacks, or a setting that it cannot keep.

    Args:
        steps_a_shape: optimizer steps of the run with each shape of images, since each is compiled for itself.
    """
    kinds = available()
    if kind == "auto":
        kind = next(name for name in ("cuda", "mps", "cpu") if name in kinds)
    if kind not in kinds:
        raise ConfigError(
            f"device={kind}: this machine has none that torch can use; choose from auto, {', '.join(kinds)}; a run "
            "that began on one goes on here with resume=RUN device=auto, and is tested by attn-eval run=RUN device=auto"
        )
    if precision == "auto":
        precision = "bfloat16" if has_fast_bfloat16(kind) else "float32"
    elif kind == "cpu" and precision == "bfloat16" and not has_fast_bfloat16(kind):
        log.warning("device.precision=bfloat16: this CPU has no instructions for it; float32 is many times faster here")
    if channels_last is None:
        channels_last = kind != "mps"
    if compile is None:
        compile = gains_by_compiling(kind, steps_a_shape)
        if compile and not has_compiler(kind):
            log.warning("device.compile=auto: not compiling, which needs %s", COMPILERS[kind])
            compile = False
    elif compile and not has_compiler(kind):
        raise ConfigError(
            f"device.compile=true: compiling for {kind} needs {COMPILERS.get(kind, 'more than there is')}; "
            "say device.compile=false"
        )
    return Device(
        kind,
        precision,
        channels_last,
        compile,
        cuda_graphs=kind == "cuda" and cuda_graphs is not False,
        threads=threads or usable_threads(),
    )


def warn_of_changes(before: dict[str, Any], now: Device) -> None:
    """Warn of each setting in which `now` differs from `before`, the device of the run so far, where known."""
    changes = [
        f"device.{name}={value} (before: {before[name]})"
        for name, value in asdict(now).items()
        if name in before and before[name] != value
    ]
    if changes:
        other = "; in another precision it is another recipe" if before.get("precision") != now.precision else ""
        log.warning("going on with %s%s", ", ".join(changes), other)


def configure(device: Device, keep_memory: bool = True) -> None:
    """Set the process-wide switches for `device`: torch's, and on the CPU with `keep_memory` the C library's."""
    torch.set_num_threads(device.threads)
    if device.kind == "cpu" and keep_memory:
        keep_freed_memory()
        release_freed_memory()  # what an earlier run in this process left
    # Raise where torch would otherwise go on uncompiled, with a mere warning.
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    if device.kind == "cuda":
        # Trying every algorithm takes a second for each shape of images; only a run that is worth compiling earns that.
        torch.backends.cudnn.benchmark = device.compile


def unsteady_steps(device: Device) -> int:
    """Return how many of the first steps of a kind (see Speed.count) take longer than those that follow."""
    return 1 + (STEPS_BEFORE if device.cuda_graphs else 0)


def synchronize(device: Device) -> None:
    """Wait for the device, so that a clock read next includes all of its work."""
    if device.kind == "cuda":
        torch.cuda.synchronize()
    elif device.kind == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: Device) -> None:
    """Let `peak_memory_bytes` count from here on, where the system can: on CUDA, and on Linux."""
    if device.kind == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        with suppress(OSError):  # a system that keeps the peak
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def peak_memory_bytes(device: Device) -> int:
    """Return the most memory held since the peak was reset: on CUDA by the allocator, else by this process."""
    if device.kind == "cuda":
        # Reserved, not allocated: a recorded step keeps its memory between replays too.
        return torch.cuda.max_memory_reserved()
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kilobytes
