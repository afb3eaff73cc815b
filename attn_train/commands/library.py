"""The commands as functions, for notebooks and programs: the words of the command line in, an object out.

What a command ends with an exit code is raised here: see attn_train.errors.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_train.commands import evaluation, export, jobs, plugged
from attn_train.commands.network import Network
from attn_train.commands.plan import claim, make_plan, remove_unbegun
from attn_train.commands.trained import Trained
from attn_train.comparison import command as comparison
from attn_train.comparison.combined import Combined
from attn_train.comparison.summary import Summary
from attn_train.errors import ConfigError
from attn_train.runs import result
from attn_train.settings import compose, saved
from attn_train.training.inference import Evaluation
from attn_train.writing.quoting import setting


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: its folder, and what its result.json says."""

    folder: Path
    result: dict[str, Any]

    @property
    def accuracy(self) -> float:
        """The share of the test images that are named right after the last epoch."""
        return float(self.result["test_accuracy"])

    @cached_property
    def predictions(self) -> dict[str, NDArray[Any]]:
        """The arrays of predictions.npz: logits (n, classes), labels (n,) and index (n,) of the test images."""
        with np.load(self.folder / "predictions.npz") as arrays:
            return dict(arrays)

    @property
    def logits(self) -> NDArray[np.float32]:
        return self.predictions["logits"]

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.predictions["labels"]


def train(*words: str) -> TrainedRun:
    """Train one model, as attn-train does.

    words: those of the command line, as in `train("model=gated", "dataset=digits", "train.epochs=2")`.
    Raises ConfigError for words of another kind, DataError and the like for what goes wrong.
    """
    compose.register()
    options = compose.parse(list(words))
    plugged.offer(words)
    if compose.asks_only(options) or options.multirun:
        raise ConfigError("train() trains one run; call it once for each, or use the command line for a sweep and help")
    planned = make_plan(options)
    if planned.is_sweep:
        raise ConfigError("hydra.mode=MULTIRUN asks for a sweep, and train() trains one run; leave it out")
    try:
        jobs.run_single(planned)
    except Exception:
        remove_unbegun(planned)
        raise
    finished = result.read(planned.folder)
    assert finished is not None
    return TrainedRun(planned.folder, finished)


def evaluate(*words: str) -> Evaluation:
    """Test a finished run again, as attn-eval does; return its logits, labels, loss and accuracy.

    words: those of the command line, as in `evaluate("run=outputs/DATE/RUN", "split=val")`.
    Raises ConfigError for words of another kind, CheckpointError and the like for what goes wrong.
    """
    compose.register()
    plugged.offer(words)
    outcome = evaluation.main(list(words), claim)
    if outcome is None:
        raise ConfigError("evaluate() tests a run; use the command line for image= and export=")
    return outcome


def load(path: str | Path, *words: str) -> Network:
    """Return the trained network of a run's folder, or of a file that `attn-eval export=` wrote, for use on the CPU.

    words: of the command line, where the run needs some: `load("outputs/DATE/RUN", "plugins=my_attention.py")`.
    Raises CheckpointError and the like for a path that holds none.
    """
    compose.register()
    place = Path(path)
    plugged.offer([setting("run", place), *words])
    if not place.is_dir():
        return export.load(place)
    config = saved.evaluated(place, ["device=cpu", *compose.parse(list(words)).overrides])
    trained = Trained(place, "last", config)
    return Network(
        trained.model,
        trained.normalization,
        trained.classes,
        trained.channels,
        config.dataset.image_size,
        config.eval.views,
    )


def compare(*words: str) -> Summary | Combined:
    """Compare runs, as attn-compare does; return what its report says: with combine= that of all groups, else of one.

    words: those of the command line, as in `compare("outputs/try", "margin=0.5")`.
    Raises ConfigError where the runs cannot be compared.
    """
    compose.register(["attn-compare", *words])
    return comparison.main(list(words), partial(claim, setting="output"))
