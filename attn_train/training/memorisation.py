"""What a network makes of training images that are labelled wrong: does it learn them by heart, or see through them?"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from attn_train.data.dataset import Split, pick
from attn_train.training.inference import Evaluation

SAMPLED = 1000  # images that are labelled right, and as many that are labelled wrong


@dataclass(frozen=True)
class Memorisation:
    """Shares of training images as they are, not augmented; None where there is no such image."""

    clean_accuracy: float | None  # of those labelled right: predicted right
    memorised: float | None  # of those labelled wrong: predicted as they are labelled
    recovered: float | None  # of those labelled wrong: predicted as what they are


@dataclass(frozen=True)
class WrongLabels:
    """A sample of training images of which some are labelled wrong: the first SAMPLED of either kind."""

    sample: Split  # with their true labels
    given: Tensor  # int64 (m,), on the CPU: the labels that training is given
    count: int  # of all training images that are labelled wrong
    total: int  # of all training images
    digest: str  # SHA-256 of the labels that training is given for all of them

    @property
    def share(self) -> float:
        return self.count / self.total

    def __str__(self) -> str:
        return (
            f"wrong labels: {self.count} of the {self.total} training images ({100 * self.share:.1f} %); "
            "the labels of all other images stay right"
        )

    def measure(self, outcome: Evaluation) -> Memorisation:
        """Return what an evaluation on the sample says."""
        predicted, wrong = outcome.logits.argmax(dim=1), self.given != outcome.labels
        return Memorisation(
            clean_accuracy=mean((predicted == outcome.labels)[~wrong]),
            memorised=mean((predicted == self.given)[wrong]),
            recovered=mean((predicted == outcome.labels)[wrong]),
        )


def wrong_labels(split: Split, given: Tensor) -> WrongLabels:
    """Sample the images of `split`, which has their true labels, where training is `given` other ones."""
    wrong = split.labels != given
    first = [torch.nonzero(kind).flatten()[:SAMPLED] for kind in (wrong, ~wrong)]
    index = torch.cat(first).sort().values
    digest = hashlib.sha256(given.cpu().numpy().astype("<i8").tobytes()).hexdigest()
    return WrongLabels(pick(split, index), given[index].cpu(), int(wrong.sum()), len(given), digest)


def mean(hits: Tensor) -> float | None:
    """Return the share of hits, None where there is nothing to hit."""
    return hits.double().mean().item() if len(hits) else None
