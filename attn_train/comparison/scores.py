"""What the runs of a study are judged by: the number of each, of the measure that was named before the first."""

from attn_train.comparison.measures import MEASURES, VALIDATED, Measure
from attn_train.errors import ConfigError
from attn_train.runs.ledger import Ledger


class Scores:
    """The numbers of a study's finished runs. `metric`: the name of its measure, one of MEASURES."""

    def __init__(self, ledger: Ledger, metric: str) -> None:
        self.ledger, self.metric = ledger, metric
        self._numbers: dict[tuple[str, str, int], float] = {}  # those of predictions take a while

    @property
    def measure(self) -> Measure:
        """The measure; an accuracy is that on validation images where all runs held some out."""
        return VALIDATED if self.metric == "accuracy" and self.ledger.split == "val" else MEASURES[self.metric]

    def number(self, arm: str, seed: int) -> float:
        """Return the number of a finished run; raise ConfigError where it has none that arms can be compared by."""
        measure = self.measure
        key = (measure.name, arm, seed)
        if key not in self._numbers:
            folder = self.ledger.folder_of(arm, seed)
            try:
                self._numbers[key] = measure.of(self.ledger.results[arm, seed], folder)
                measure.gain(self._numbers[key])
            except ValueError as error:
                raise ConfigError(
                    f"{folder}: {error}, and its study is judged by {measure.name}; put back what is missing, or "
                    "remove that folder to have it trained again"
                ) from error
        return self._numbers[key]

    def gain(self, arm: str, seed: int) -> float:
        """Return the number of a finished run on the scale of the measure, more the better."""
        return self.measure.gain(self.number(arm, seed))

    @property
    def step(self) -> float:
        """What one image counts."""
        return max(map(self.measure.step, self.ledger.results.values()), default=0.0)
