"""What is known of a network under corruptions: robustness.json, which people read, and robustness.npz, which says of
each image whether it was right."""

import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_train.errors import ConfigError
from attn_train.robust.corruptions import CORRUPTIONS, EXTRA, MAIN_GROUPS, SEVERITIES, of_group
from attn_train.writing.durable import write_whole

Scores = dict[str, float]
Bits = NDArray[np.uint8]

MEANS = ("accuracy", "nll", "brier", "ece")
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile)


@dataclass
class Record:
    """The tests of one network on one set of images, clean and corrupted, and the files that keep them."""

    path: Path  # of the JSON; that of single images has the suffix .npz
    name: str  # what the corrupted images are called
    deviations: tuple[str, ...]  # from the published set
    order: str  # that of the images in the bits
    conditions: dict[str, Any]  # tests under other ones are no part of it
    clean: Scores = field(default_factory=dict)
    sets: dict[str, dict[int, Scores]] = field(default_factory=dict)  # by corruption and severity
    right: dict[str, Bits] = field(default_factory=dict)  # one bit an image, by clean or CORRUPTION_SEVERITY

    def discard(self) -> None:
        """Remove the files."""
        for path in (self.path, self.path.with_suffix(".npz")):
            path.unlink(missing_ok=True)

    def recall(self) -> None:
        """Take over what the files hold already; raise ConfigError where that is of other conditions or damaged.

        A set whose bits are missing, since the process was killed between both files, is left out.
        """
        if not self.path.exists():
            return
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            conditions, clean = dict(kept["conditions"]), dict(kept["clean"])
            sets = {
                name: {int(severity): dict(scores) for severity, scores in entry["severities"].items()}
                for name, entry in kept["corruptions"].items()
            }
            with np.load(self.path.with_suffix(".npz"), allow_pickle=False) as arrays:
                right = {name: arrays[name] for name in arrays.files}
        except UNREADABLE as error:
            raise ConfigError(
                f"{self.path} or its .npz cannot be read ({error}); remove both, or give output=FOLDER"
            ) from error
        differ = [key for key in self.conditions if conditions.get(key) != self.conditions[key]]
        if differ:
            shown = ", ".join(f"{key} {conditions.get(key)} there, {self.conditions[key]} here" for key in differ)
            raise ConfigError(f"{self.path} is of another test ({shown}); remove it, or give output=FOLDER")
        self.clean, self.right = clean, right
        for name, severities in sets.items():
            complete = {severity: scores for severity, scores in severities.items() if f"{name}_{severity}" in right}
            if complete:
                self.sets[name] = complete

    def add_clean(self, scores: Scores, right: NDArray[np.bool_]) -> None:
        """Keep the test on the images as they are."""
        self.clean, self.right["clean"] = scores, np.packbits(right)

    def add(self, name: str, severity: int, scores: Scores, right: NDArray[np.bool_]) -> None:
        """Keep a test; `right` (n,) says which images were right."""
        self.sets[name] = dict(sorted({**self.sets.get(name, {}), severity: scores}.items()))
        self.right[f"{name}_{severity}"] = np.packbits(right)

    def mean(self, names: Iterable[str]) -> dict[str, Any] | None:
        """Return the means over corruptions and their severities; None unless all were tested at the same ones."""
        sets = [self.sets.get(name, {}) for name in names]
        if not sets or not sets[0] or any(each.keys() != sets[0].keys() for each in sets):
            return None
        scores = [scores for each in sets for scores in each.values()]
        means = {key: float(np.mean([each[key] for each in scores])) for key in MEANS}
        return {"severities": list(sets[0]), **means}

    def summary(self) -> dict[str, Any]:
        """Return all that robustness.json says."""
        main = [name for name, corruption in CORRUPTIONS.items() if corruption.group != EXTRA]
        fifteen = self.mean(main)
        complete = fifteen is not None and fifteen["severities"] == list(SEVERITIES)
        accuracy = fifteen["accuracy"] if fifteen is not None and complete else None
        tested = {
            name: {
                "group": CORRUPTIONS[name].group,
                "severities": {str(severity): scores for severity, scores in self.sets[name].items()},
                "mean": self.mean([name]),
            }
            for name in CORRUPTIONS
            if name in self.sets
        }
        return {
            "name": self.name,
            "deviations": list(self.deviations),
            "conditions": self.conditions,
            "order": self.order,
            "clean": self.clean,
            # Over all five severities of the fifteen: what is published as the accuracy under corruption.
            "corruption_accuracy": accuracy,
            "drop": None if accuracy is None else self.clean["accuracy"] - accuracy,
            "fifteen": fifteen,
            "groups": {group: self.mean(of_group(group)) for group in (*MAIN_GROUPS, EXTRA)},
            "corruptions": tested,
        }

    def write(self) -> None:
        """Write both files, each whole or not at all; raise OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = dict(self.right)
        write_whole(self.path.with_suffix(".npz"), lambda file: np.savez_compressed(file, **arrays))
        text = json.dumps(self.summary(), indent=2) + "\n"
        write_whole(self.path, lambda file: file.write(text.encode()))
