"""How long training takes and how fast it goes."""

import time
from collections import defaultdict

from attn_train.device import Device, synchronize, unsteady_steps


class Speed:
    """Measures training time and throughput: evaluation and what is written meanwhile count in neither, the first
    steps at each resolution (they compile, or record) not in throughput."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.seconds = 0.0  # of training, up to the last window
        self.side = 0
        # By the side of the training images, whose rates differ.
        self.first_steps: dict[int, list[tuple[int, float]]] = defaultdict(list)  # images and seconds
        self.images: dict[int, int] = defaultdict(int)
        self.steady_seconds: dict[int, float] = defaultdict(float)
        self.pending = 0  # images of the window
        self.resumed = 0.0

    def start(self) -> None:
        """Begin an epoch."""
        synchronize(self.device)
        self.resume()

    def count(self, images: int, side: int) -> None:
        """Count a step on so many images; an epoch's have one side."""
        self.side = side
        self.pending += images
        if len(self.first_steps[side]) < unsteady_steps(self.device):
            self.first_steps[side].append((images, self.pause()))
            self.resume()

    def window(self) -> float:
        """Stop the clock and end a window; return its images a second, 0 where it holds only a first step."""
        seconds = self.pause()
        if not self.pending:
            return 0.0
        self.images[self.side] += self.pending
        self.steady_seconds[self.side] += seconds
        return self.pending / seconds

    def pause(self) -> float:
        """Stop the clock; return the seconds since it went on."""
        synchronize(self.device)
        seconds = time.perf_counter() - self.resumed
        self.seconds += seconds
        return seconds

    def resume(self) -> None:
        """Let the clock go on and begin a window; what went before it since `window` (writing a checkpoint, say) counts
        nowhere."""
        self.resumed = time.perf_counter()
        self.pending = 0

    @property
    def steady_rate(self) -> float:
        """Images a second over all windows so far."""
        seconds = sum(self.steady_seconds.values())
        return sum(self.images.values()) / seconds if seconds else 0.0

    @property
    def compile_seconds(self) -> float:
        """What the first steps took beyond a steady one of the same size."""
        total = 0.0
        for side, steps in self.first_steps.items():
            images, seconds = (sum(one) for one in zip(*steps, strict=True))
            if self.images[side]:
                total += max(0.0, seconds - images * self.steady_seconds[side] / self.images[side])
        return total
