"""What the training loop reports, and what it reports to."""

from dataclasses import dataclass, field

from attn_train.training.memorisation import Memorisation


@dataclass(frozen=True)
class Window:
    """Training between two log steps."""

    step: int  # at its end
    epoch: int  # from 0
    loss: float  # mean over the images
    accuracy: float  # a share
    lr: float
    images_per_second: float


@dataclass(frozen=True)
class Score:
    """The outcome of an evaluation after an epoch."""

    split: str  # val or test
    loss: float
    accuracy: float
    views: int
    image_size: int
    full_size: bool  # whether that is the images' own size, or the lower resolution of training so far
    brier: float
    ece: float  # a share
    memorisation: Memorisation | None = None  # where training images are labelled wrong
    health: dict[str, float] = field(default_factory=dict)  # of the attention; see training.health

    @property
    def chooses(self) -> bool:
        """Whether the checkpoint `best` is chosen by this score."""
        return self.split == "val" and self.full_size


@dataclass(frozen=True)
class Epoch:
    """Training in an epoch, and its evaluation."""

    step: int  # at its end
    number: int  # from 0
    loss: float
    accuracy: float
    images_per_second: float  # over all epochs so far
    train_seconds: float
    score: Score | None


class Journal:
    """What the loop reports to. This one records nothing and never stops; `FolderJournal` writes to a run's folder."""

    def begin(self, steps: int) -> None:
        """Note that an epoch of so many steps begins, or goes on after a resume."""

    def step(self, window: Window | None) -> None:
        """Note that a step is done; `window` is given at a log step and at the end of an epoch."""

    def end(self, epoch: Epoch) -> None:
        """Note that an epoch is over."""

    def save(self, name: str) -> None:
        """Save the trainer as the checkpoint `name`, last or best."""

    def stopped(self) -> bool:
        """Say, after each step, whether training must end early; the loop then saves the state."""
        return False
