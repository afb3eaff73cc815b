"""Compiled models: what is shared between seeds, and that no architecture of a sweep runs uncompiled in silence."""

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from attn_train import compiled, device
from attn_train.compiled import compile_model


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
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):  # type: ignore[attr-defined]
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
