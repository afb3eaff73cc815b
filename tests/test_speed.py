"""Training time and throughput, by a clock that the tests set."""

import time
from dataclasses import replace

import pytest
from small import CPU

from attn_train.machine.speed import Speed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that a Speed sees; add to it."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_speed_counts_no_first_step_at_a_resolution_and_nothing_between_windows(clock: list[float]) -> None:
    speed = Speed(CPU)
    speed.start()
    clock[0] += 9  # compiles
    speed.count(10, side=16)
    assert speed.window() == 0.0
    assert speed.steady_rate == 0.0
    speed.resume()
    for _ in range(2):
        clock[0] += 2
        speed.count(10, side=16)
    assert speed.window() == pytest.approx(5.0)
    clock[0] += 50  # a checkpoint, say
    speed.resume()
    clock[0] += 3
    speed.count(10, side=16)
    assert speed.window() == pytest.approx(10 / 3)
    assert speed.seconds == pytest.approx(9 + 4 + 3)
    clock[0] += 70  # an evaluation
    speed.start()
    clock[0] += 7  # compiles for the other resolution
    speed.count(10, side=32)
    clock[0] += 6
    speed.count(10, side=32)
    assert speed.window() == pytest.approx(10 / 6)
    assert speed.seconds == pytest.approx(16 + 13)
    assert speed.steady_rate == pytest.approx(40 / 13)
    assert speed.compile_seconds == pytest.approx((9 - 7 / 3) + (7 - 6))


def test_steps_of_another_kind_are_first_steps_too(clock: list[float]) -> None:
    """A smaller batch is recorded for itself, and so is a step with another set of learning parameters."""
    speed = Speed(replace(CPU, cuda_graphs=True))
    for kind, seconds in (("whole", (5, 5, 5, 1, 1)), ("rest", (7, 7, 7)), ("whole", (1, 1, 1))):
        speed.start()
        for one in seconds:
            clock[0] += one
            speed.count(10, 16, kind)
        speed.window()
    assert speed.steady_rate == pytest.approx(10.0)
    assert speed.compile_seconds == pytest.approx(3 * (5 - 1) + 3 * (7 - 1))
    assert speed.seconds == pytest.approx(17 + 21 + 3)


def test_a_first_step_takes_those_before_it_out_of_the_throughput(clock: list[float]) -> None:
    speed = Speed(replace(CPU, compile=True))
    speed.start()
    steps = ((10, "whole", 5), (10, "whole", 1), (10, "whole", 1), (4, "rest", 8), (10, "whole", 1))
    for images, kind, seconds in steps:
        clock[0] += seconds
        speed.count(images, 16, kind)
    assert speed.window() == pytest.approx(10.0)
    assert speed.steady_rate == pytest.approx(10.0)
    assert speed.compile_seconds == pytest.approx((5 - 1) + (10 - 2.4))
