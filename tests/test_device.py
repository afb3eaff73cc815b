"""What `auto` decides, and what is refused, on the machine that the test runs on."""

import logging
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from attn_train.errors import ConfigError
from attn_train.machine import device as devices
from attn_train.machine.device import COMPILE_FROM_STEPS, Device, decide, gains_by_compiling

ENOUGH = COMPILE_FROM_STEPS["cpu"]

MISSING = [kind for kind in ("cuda", "mps") if kind not in devices.available()]


def on_cpu(
    precision: str = "float32",
    channels_last: bool | None = None,
    compile: bool | None = False,
    threads: int | None = 1,
    steps: int = 1,
) -> Device:
    return decide("cpu", precision, channels_last, compile, None, threads, steps)


@pytest.fixture
def no_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that multiplies without tiles, which is one where compiling can pay."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path that holds a program named g++ and nothing else."""
    program = tmp_path / "g++"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    return program


def test_the_decision_is_a_rule() -> None:
    decided = [decide("auto", "auto", None, None, None, None, steps) for steps in (1, 1, 10**6, 10**6)]
    assert decided[0] == decided[1]
    assert decided[2] == decided[3]
    first = decided[0]
    assert first.kind in devices.available()
    assert first.kind == ("cuda" if torch.cuda.is_available() else first.kind)
    assert first.precision in ("float32", "bfloat16")
    assert first.threads >= 1


def test_a_decided_device_decides_for_itself_again() -> None:
    """A resumed run hands in what its first part wrote down."""
    first = decide("auto", "auto", None, None, None, None, ENOUGH)
    again = decide(first.kind, first.precision, first.channels_last, first.compile, None, first.threads, 1)
    assert again == first


def test_what_is_said_is_kept() -> None:
    for precision in ("float32", "bfloat16"):
        for channels_last in (True, False):
            expected = Device("cpu", precision, channels_last, False, False, 3)
            assert on_cpu(precision, channels_last, threads=3, steps=10**6) == expected


def test_the_cpu_defaults_are_channels_last_and_no_thread_without_a_core() -> None:
    decided = on_cpu(threads=None)
    assert decided.channels_last
    assert 1 <= decided.threads <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_process_bound_to_one_core_gets_one_thread() -> None:
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert on_cpu(threads=None).threads == 1
    finally:
        os.sched_setaffinity(0, cores)


DECIDE = (
    "from attn_train.machine.device import decide; print(decide('cpu', 'float32', True, False, None, None, 1).threads)"
)


@pytest.mark.slow
def test_a_quota_of_one_core_gives_one_thread() -> None:
    """A container's quota is set from outside; joblib, which reads it, takes the same from its variable."""
    environment = os.environ | {"LOKY_MAX_CPU_COUNT": "1"}
    done = subprocess.run([sys.executable, "-c", DECIDE], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 1


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_omp_num_threads_is_heeded(threads: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", DECIDE], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == min(
        int(threads), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    )


@pytest.mark.parametrize("kind", ["tpu", *MISSING])
def test_a_device_that_is_not_there_is_refused_with_the_choices(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"device={kind}: .* choose from auto, {', '.join(devices.available())}"):
        decide(kind, "auto", None, None, None, None, 1)


@pytest.mark.usefixtures("compiler", "no_tiles")
def test_a_run_of_enough_steps_is_compiled() -> None:
    assert not on_cpu(compile=None, steps=0).compile
    assert not on_cpu(compile=None, steps=ENOUGH - 1).compile
    assert on_cpu(compile=None, steps=ENOUGH).compile
    assert on_cpu(compile=True, steps=1).compile
    assert not on_cpu(compile=False, steps=10**9).compile


@pytest.mark.usefixtures("compiler")
def test_where_the_cpu_multiplies_by_tiles_only_a_word_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": True})
    assert not on_cpu(compile=None, steps=10**9).compile
    assert on_cpu(compile=True, steps=1).compile


def test_a_gpu_compiles_longer_runs_only() -> None:
    assert not gains_by_compiling("cuda", ENOUGH)
    assert gains_by_compiling("cuda", COMPILE_FROM_STEPS["cuda"])
    assert not gains_by_compiling("mps", 10**9)


@pytest.mark.usefixtures("no_tiles")
def test_without_a_compiler_auto_goes_without_and_says_so(compiler: Path, caplog: pytest.LogCaptureFixture) -> None:
    compiler.unlink()
    with caplog.at_level(logging.WARNING):
        assert not on_cpu(compile=None, steps=ENOUGH).compile
    assert "needs a C++ compiler" in caplog.text
    caplog.clear()
    assert not on_cpu(compile=None, steps=1).compile
    assert not caplog.text
    with pytest.raises(ConfigError, match=r"device.compile=true: .*device.compile=false"):
        on_cpu(compile=True)


def test_the_environment_may_name_the_compiler(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler.rename(compiler.with_name("own-compiler"))
    assert not devices.has_compiler("cpu")
    monkeypatch.setenv("CXX", "own-compiler")
    assert devices.has_compiler("cpu")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="reads the kernel's own list of CPU features")
def test_bfloat16_is_chosen_where_the_kernel_says_the_cpu_has_it() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    words = {word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split()}
    fast = bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    assert devices.has_fast_bfloat16("cpu") == fast
    assert on_cpu("auto").precision == ("bfloat16" if fast else "float32")


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_that_the_cpu_would_have_to_emulate_is_kept_and_said(
    fast: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a run that began on another machine and is resumed here: its arithmetic stays, at a price."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": fast})
    with caplog.at_level(logging.WARNING):
        assert on_cpu("bfloat16").precision == "bfloat16"
    assert ("float32 is many times faster" in caplog.text) is not fast
    caplog.clear()
    on_cpu("float32")
    assert not caplog.text


def test_precision_is_that_of_the_arithmetic() -> None:
    matrix = torch.ones(2, 2)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with on_cpu(precision).autocast():
            assert (matrix @ matrix).dtype == dtype


def test_the_memory_format_is_that_of_the_switch() -> None:
    image = torch.zeros(1, 3, 4, 4)
    for channels_last in (True, False):
        chosen = image.to(memory_format=on_cpu(channels_last=channels_last).memory_format)
        assert (chosen.stride()[1] == 1) is channels_last


def test_recordings_are_made_on_cuda_alone() -> None:
    for given in (None, True, False):
        assert not decide("cpu", "float32", True, False, given, 1, 1).cuda_graphs


def test_configure_sets_the_threads() -> None:
    before = torch.get_num_threads()
    try:
        devices.configure(on_cpu(threads=before + 1))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_gpu_compiles_by_triton_and_a_c_compiler(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: name == "triton")
    assert not devices.has_compiler("cuda")  # g++ alone
    compiler.rename(compiler.with_name("gcc"))
    assert devices.has_compiler("cuda")
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert not devices.has_compiler("cuda")


def test_an_earlier_peak_is_forgotten() -> None:
    """Else every job of a sweep would have at least the memory of those before it."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("this system does not forget a peak")
    with mmap.mmap(-1, 256 << 20) as held:
        held.write(b"x" * (256 << 20))
    earlier = devices.peak_memory_bytes(on_cpu())
    devices.reset_peak_memory(on_cpu())
    assert devices.peak_memory_bytes(on_cpu()) < earlier - (200 << 20)


def test_peak_memory_is_in_bytes() -> None:
    held = bytearray(b"x") * (64 << 20)
    peak = devices.peak_memory_bytes(on_cpu())
    assert len(held) < peak < 1 << 40
