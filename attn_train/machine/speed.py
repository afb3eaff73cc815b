"""How long training takes and how fast it goes."""

import time
from collections import defaultdict
from collections.abc import Hashable
from typing import NamedTuple

from attn_train.machine.device import Device, synchronize, unsteady_steps


class FirstStep(NamedTuple):
    """A window that ends with a step which may have compiled or recorded."""

    side: int
    images: int
    seconds: float


class Speed:
    """Measure training time and throughput.

    Neither counts evaluation or the writing of files. Throughput leaves out the first steps of each kind, which compile
    or record.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.seconds = 0.0  # of training, up to the last window
        self.side = 0
        self.first_steps: dict[Hashable, list[FirstStep]] = defaultdict(list)  # by kind
        # By the side of the images, since throughput depends on it.
        self.images: dict[int, int] = defaultdict(int)
        self.steady_seconds: dict[int, float] = defaultdict(float)
        self.pending = 0  # images of the window
        self.resumed = 0.0

    def start(self) -> None:
        """Begin an epoch."""
        synchronize(self.device)
        self.resume()

    def count(self, images: int, side: int, kind: Hashable = None) -> None:
        """Count a step.

        Args:
            images: how many images it was on.
            side: theirs, in pixels; the same throughout an epoch.
            kind: steps that differ in it, or in their side, are compiled or recorded separately.
        """
        self.side = side
        self.pending += images
        prepared = self.device.compile or self.device.cuda_graphs
        first_steps = self.first_steps[(side, kind) if prepared else side]
        if len(first_steps) < unsteady_steps(self.device):
            first_steps.append(FirstStep(side, self.pending, self.pause()))
            self.resume()

    def window(self) -> float:
        """Stop the clock and end a window; return its images a second, 0 where it holds only first steps."""
        seconds = self.pause()
        if not self.pending:
            return 0.0
        self.images[self.side] += self.pending
        self.steady_seconds[self.side] += seconds
        return self.pending / seconds

    def pause(self) -> float:
        """Stop the clock; return the seconds since it was started."""
        synchronize(self.device)
        seconds = time.perf_counter() - self.resumed
        self.seconds += seconds
        return seconds

    def resume(self) -> None:
        """Start the clock and begin a window; the time since `window` (like writing a checkpoint) is not counted."""
        self.resumed = time.perf_counter()
        self.pending = 0

    @property
    def steady_rate(self) -> float:
        """Images a second over all windows so far."""
        seconds = sum(self.steady_seconds.values())
        return sum(self.images.values()) / seconds if seconds else 0.0

    @property
    def compile_seconds(self) -> float:
        """What the first steps took beyond steady ones on as many images."""
        total = 0.0
        for steps in self.first_steps.values():
            side = steps[0].side
            if self.images[side]:
                steady = sum(step.images for step in steps) * self.steady_seconds[side] / self.images[side]
                total += max(0.0, sum(step.seconds for step in steps) - steady)
        return total
