"""Compiled models: what is shared between seeds, and that no architecture of a sweep runs uncompiled in silence."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from conftest import TINY, run_here
from torch import Tensor, nn
from torch._dynamo.utils import counters

from attn_train.errors import ConfigError
from attn_train.machine import compiled, device
from attn_train.machine.compiled import compile_model


class Graphs:
    """Counts the graphs that torch.compile makes."""

    def __init__(self) -> None:
        self.before = self.total()

    @staticmethod
    def total() -> int:
        return counters["stats"]["unique_graphs"]

    def new(self) -> int:
        return self.total() - self.before


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    """Tracing alone is what is counted; code for the machine is not made."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    compiled.compiled_call.cache_clear()
    device.configure(device.decide("cpu", "float32", True, False, None, 1, 1))
    yield Graphs()
    compiled.compiled_call.cache_clear()


def network(width: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.GELU(), nn.Flatten(), nn.LazyLinear(2))


def gradients(width: int, seed: int, images: Tensor, architecture: str | None) -> list[Tensor]:
    model = network(width, seed)
    model(images)  # gives the last layer its size
    forward = model if architecture is None else compile_model(model, architecture)
    forward(images).square().sum().backward()
    return [value.grad for value in model.parameters() if value.grad is not None]


@pytest.mark.slow
def test_twelve_architectures_in_turn_with_two_seeds_compile_twelve_times(graphs: Graphs) -> None:
    """torch.compile runs uncompiled after 8 graphs of one code object, and only warns."""
    images = torch.randn(4, 1, 6, 6)
    for seed in (0, 1):
        for width in range(1, 13):
            found = gradients(width, seed, images, f"width {width}")
            expected = gradients(width, seed, images, None)
            assert all(map(torch.equal, found, expected))
            assert len(found) == 6
            assert graphs.new() == (width if seed == 0 else 12)


def test_ten_shapes_of_one_architecture_compile_ten_times(graphs: Graphs) -> None:
    model = nn.Conv2d(1, 2, 3)
    forward = compile_model(model, "convolution")
    for _ in range(2):
        for side in range(3, 13):
            images = torch.randn(2, 1, side, side)
            torch.testing.assert_close(forward(images), model(images))
    assert graphs.new() == 10


def test_the_limit_that_is_worked_around_is_there(graphs: Graphs) -> None:
    """Else the tests above would prove nothing: one code object for all shapes ends in an error."""
    forward = torch.compile(lambda images: images * images.shape[-1], dynamic=False)
    for side in range(1, 9):
        forward(torch.zeros(1, side))
    assert graphs.new() == 8
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        forward(torch.zeros(1, 9))


@pytest.mark.slow
def test_a_second_seed_runs_what_the_first_compiled_bit_for_bit() -> None:
    """With real code for the machine: the seed gives the same gradients whether it compiles or finds what is there."""
    images = torch.randn(4, 1, 6, 6)
    compiled.compiled_call.cache_clear()
    first = gradients(3, 0, images, "three")
    before = Graphs()
    other = gradients(3, 1, images, "three")
    again = gradients(3, 0, images, "three")
    assert before.new() == 0
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    for value, expected in zip(again, gradients(3, 0, images, None), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


# Where compiling fails

BROKEN = {
    "missing": None,
    "broken": "#!/bin/sh\necho 'cc1plus: cannot find itself' >&2; exit 1\n",
    "no file": "#!/bin/sh\nexit 0\n",
    "no shared object": '#!/bin/sh\nwhile [ $# -gt 0 ]; do [ "$1" = -o ] && echo hello > "$2"; shift; done\n',
}


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As in a process that has compiled nothing yet, with a folder of its own for what it makes; it goes straight to
    compiling, without looking first for what the processor can do, which takes half a minute."""
    from torch._inductor import config
    from torch._inductor.utils import fresh_cache

    # A CPU on which compiling pays, from the first step on.
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.setitem(device.COMPILE_FROM_STEPS, "cpu", 1)
    compiled.failure.cache_clear()
    quick = {"cpp.vec_isa_ok": False, "cpp_cache_precompile_headers": False}
    with fresh_cache(dir=str(tmp_path)), config.patch(quick):
        yield tmp_path
    compiled.failure.cache_clear()


def with_compiler(folder: Path, text: str | None) -> str:
    """Write a compiler that is `text`, or none; return its path."""
    path = folder / "compiler"
    if text is not None:
        path.write_text(text)
        path.chmod(0o755)
    return str(path)


def check_it_goes_without(caplog: pytest.LogCaptureFixture) -> None:
    """Compiling that was asked for is refused; decided on, it is left out, which is said."""
    wanted = device.Device("cpu", "float32", channels_last=True, compile=True, cuda_graphs=False, threads=1)
    with pytest.raises(ConfigError, match=r"device.compile=true: compiling fails: .*device.compile=false"):
        compiled.checked(wanted, by_itself=False)
    assert compiled.checked(wanted, by_itself=True) == replace(wanted, compile=False)
    said = [record.getMessage() for record in caplog.records if record.name == compiled.__name__]
    assert len(said) == 1
    assert said[0].startswith("device.compile=auto: not compiling, which fails: ")


@pytest.mark.slow
@pytest.mark.parametrize("fault", BROKEN)
def test_a_compiler_that_does_not_work(fresh: Path, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    from torch._inductor import config

    with config.patch({"cpp.cxx": (None, with_compiler(fresh, BROKEN[fault]))}):
        check_it_goes_without(caplog)


@pytest.mark.slow
def test_a_disk_whose_files_may_not_run(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = fresh / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("no right to mount a file system")
    try:
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(disk))
        check_it_goes_without(caplog)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_a_run_where_compiling_fails(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, it ends in one line before anything is written; by itself the run goes on without, and says so."""
    (fresh / "file").write_text("")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(fresh / "file" / "cache"))  # which cannot be made
    refused = run_here(fresh, *TINY, "device.compile=true", "hydra.run.dir=asked")
    assert refused.code == 2, refused.err
    assert len(refused.err.splitlines()) == 1, refused.err
    assert "device.compile=true: compiling fails: " in refused.err
    assert not (fresh / "asked").exists()
    ended = run_here(fresh, *TINY, "device.compile=auto", "hydra.run.dir=run")
    assert ended.code == 0, ended.err
    assert ended.out.count("device.compile=auto: not compiling, which fails: ") == 1
    assert yaml.safe_load((fresh / "run" / "config.yaml").read_text())["device"]["compile"] is False
    again = run_here(fresh, "resume=run", "train.epochs=3")
    assert again.code == 0, again.err
    assert "not compiling" not in again.out


@pytest.mark.slow
def test_a_network_that_cannot_be_compiled_is_said_in_a_line(fresh: Path) -> None:
    """As where only what the network needs is broken."""
    from torch._inductor import config

    with config.patch({"cpp.cxx": (None, with_compiler(fresh, BROKEN["broken"]))}):
        forward = compile_model(nn.Conv2d(1, 2, 3), "broken")
        with pytest.raises(ConfigError, match=r"this network cannot be compiled: .*device.compile=false"):
            forward(torch.zeros(2, 1, 4, 4))
    compiled.compiled_call.cache_clear()
