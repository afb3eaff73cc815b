"""attn-eval predictions=FILE.csv: what a network says of each picture, for a spreadsheet."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from attn_train.writing.durable import write_durably

SUFFIX = ".csv"


def write(
    path: Path, logits: Tensor, classes: Sequence[str], files: Sequence[str], labels: Tensor | None = None
) -> None:
    """Write a line for each picture: file, class (where it is known), predicted, right, probability, and that of each
    class.

    Args:
        logits: (n, classes).
        files: of the pictures; of a data set that has none the numbers in its order, from 0.
        labels: int64 (n,); None: the classes are not known.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    known = [] if labels is None else ["class", "right"]
    rows.writerow(["file", "predicted", "probability", *known, *(f"p({name})" for name in classes)])
    for number, (file, probability) in enumerate(zip(files, logits.double().softmax(dim=1), strict=True)):
        said = int(probability.argmax())
        truth = []
        if labels is not None:
            label = int(labels[number])
            truth = [classes[label], int(label == said)]
        shares = [f"{share:.6f}" for share in probability.tolist()]
        rows.writerow([file, classes[said], shares[said], *truth, *shares])
    content = text.getvalue().encode("utf-8", "surrogateescape")
    write_durably(path, lambda stream: stream.write(content))
