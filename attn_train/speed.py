"""How long training takes and how fast it goes."""

import statistics
import time

from attn_train.device import Device, synchronize


class Speed:
    """Measures training time and throughput: evaluation counts in neither, the first step (it compiles) not in
    throughput."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.seconds = 0.0
        self.first_step_seconds: float | None = None
        self.rates: list[float] = []  # images a second, one entry a window
        self.images = 0
        self.started = self.window_started = 0.0

    def start(self) -> None:
        synchronize(self.device)
        self.started = time.perf_counter()
        self.resume()

    def count(self, images: int) -> None:
        """Count a step's images."""
        self.images += images
        if self.first_step_seconds is None:
            synchronize(self.device)
            self.first_step_seconds = time.perf_counter() - self.started
            self.resume()

    def window(self) -> float:
        """End a window; return its images a second, 0 where it holds only the first step."""
        if not self.images:
            return 0.0
        self.rates.append(self.images / (time.perf_counter() - self.window_started))
        return self.rates[-1]

    def resume(self) -> None:
        """Begin a window; what went before it since `window` (writing a checkpoint, say) slows nothing."""
        self.window_started = time.perf_counter()
        self.images = 0

    def stop(self) -> None:
        synchronize(self.device)
        self.seconds += time.perf_counter() - self.started

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, in the middle of an epoch."""
        return self.seconds + time.perf_counter() - self.started

    @property
    def steady_rate(self) -> float:
        return statistics.median(self.rates) if self.rates else 0.0
