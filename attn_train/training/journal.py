"""What the training loop tells of itself, and to whom."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Window:
    """What happened between two log steps."""

    step: int
    epoch: int
    loss: float
    accuracy: float
    lr: float
    images_per_second: float


@dataclass(frozen=True)
class Score:
    """What a test after an epoch found."""

    split: str  # val or test
    loss: float
    accuracy: float
    views: int
    image_size: int
    full_size: bool  # whether that is the size of the images, or training is at a lower resolution still

    @property
    def chooses(self) -> bool:
        """Whether the best of these is worth a checkpoint of its own."""
        return self.split == "val" and self.full_size


@dataclass(frozen=True)
class Epoch:
    """What happened in an epoch."""

    step: int  # at its end
    number: int  # from 0
    loss: float
    accuracy: float
    images_per_second: float  # over all epochs so far
    train_seconds: float
    score: Score | None


class Journal(Protocol):
    """Hear what the loop does. A run's folder writes it down; `Silent` serves benchmarks and tests.

    The journal also ends training early: `stopped` is asked after each step, and after the last one of a run that it
    ends the state is saved.
    """

    def begin(self, steps: int) -> None:
        """An epoch of so many steps begins, or goes on."""

    def step(self, window: Window | None) -> None:
        """A step is done; with a window at a log step and at the end of the epoch."""

    def end(self, epoch: Epoch) -> None:
        """An epoch is over."""

    def save(self, name: str) -> None:
        """The trainer is to be saved as the checkpoint `name`: last or best."""

    def stopped(self) -> bool:
        """Say whether training is to end now."""


class Silent(Journal):
    """Keep nothing and never stop."""

    def begin(self, steps: int) -> None:
        return

    def step(self, window: Window | None) -> None:
        return

    def end(self, epoch: Epoch) -> None:
        return

    def save(self, name: str) -> None:
        return

    def stopped(self) -> bool:
        return False
