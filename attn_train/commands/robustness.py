"""attn-eval corruptions=...: test a run on images made worse, set by set, from memory."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from attn_train import __version__
from attn_train.commands import calibrated
from attn_train.commands.trained import Trained, evaluate_on
from attn_train.data.dataset import Split, content_digest
from attn_train.errors import ConfigError
from attn_train.machine.device import Device
from attn_train.robust import official, picture, table
from attn_train.robust.corruptions import DEVIATIONS, corrupt
from attn_train.robust.record import MEANS, Record, Scores
from attn_train.robust.request import Request, request
from attn_train.runs.tracking import add_figures
from attn_train.training.inference import Evaluation
from attn_train.writing import drawing
from attn_train.writing.best_effort import best_effort

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

# Returns the images of a corruption at a severity, with their labels.
Source = Callable[[str, int], Split]
# Shows figures, by tag, in TensorBoard.
Show = Callable[[Mapping[str, "Figure"]], None]


@dataclass(frozen=True)
class Subject:
    """A network, and the images that it is tested on."""

    test: Callable[[Split], Evaluation]
    split: Split
    folder: Path  # of its run
    step: int
    dataset: str
    classes: tuple[str, ...]
    place: torch.device
    conditions: dict[str, Any]  # whatever else changes what a test finds


def subject_of(trained: Trained, split: Split, split_name: str, checkpoint: str) -> Subject:
    """Return the network of a run to be tested on one of its splits."""
    return Subject(
        partial(evaluate_on, trained),
        split,
        trained.folder,
        trained.step,
        trained.config.dataset.name,
        trained.classes,
        trained.device.place,
        conditions(split_name, checkpoint, trained.config.eval.views, trained.device),
    )


def conditions(split: str, checkpoint: str, views: int, device: Device) -> dict[str, Any]:
    """Return the conditions of a test that follow from settings."""
    return {
        "split": split,
        "checkpoint": checkpoint,
        "views": views,
        "device": device.kind,
        "precision": device.precision,
    }


def evaluate(subject: Subject, wanted: Request, folder: Path) -> Evaluation:
    """Test a network on images as they are and on what corruptions make of them; write that to `folder`, print and draw
    it. Return the test of the images as they are."""
    source, record = plan(subject, wanted, folder)
    record.recall()
    clean, is_new = complete(record, subject, source, wanted)
    for text in table.report(record):
        log.info("%s", text)

    def show(figures: Mapping[str, "Figure"]) -> None:
        if is_new and folder == subject.folder:
            add_figures(folder, figures, subject.step)

    draw(subject, record, wanted, show)
    return clean


def evaluate_trained(subject: Subject, show: Show) -> dict[str, float]:
    """Test a network that was just trained on all corruptions, as `evaluate` does; return what its result says of that.

    A record of the same run at an earlier step is replaced.
    """
    wanted = request({"corruptions": "all"})
    source, record = plan(subject, wanted, subject.folder)
    try:
        record.recall()
    except ConfigError as error:
        log.warning("%s; it is replaced", error)
        record.discard()
    complete(record, subject, source, wanted)
    for text in table.report(record):
        log.info("%s", text)
    draw(subject, record, wanted, show)
    fifteen = record.summary()["fifteen"]
    return {f"corruption_{key}": fifteen[key] for key in MEANS}


def complete(record: Record, subject: Subject, source: Source, wanted: Request) -> tuple[Evaluation, bool]:
    """Test what a record lacks, and write it after each corruption; return the test of the images as they are, and
    whether anything else was tested."""
    missing = [
        (name, severity)
        for name in wanted.names
        for severity in wanted.severities
        if severity not in record.sets.get(name, {})
    ]
    count = len(wanted.names) * len(wanted.severities)
    log.info("%s: %d corruptions, severity %s", record.name, len(wanted.names), ", ".join(map(str, wanted.severities)))
    if len(missing) < count:
        again = f"remove {record.path} to test them again"
        log.info("%d of %d sets were tested before; %s", count - len(missing), count, again)
    clean = subject.test(subject.split)
    record.add_clean(scores(clean), right(clean))
    record.write()
    for name in wanted.names:
        severities = [severity for other, severity in missing if other == name]
        for severity in severities:
            outcome = subject.test(source(name, severity))
            record.add(name, severity, scores(outcome), right(outcome))
        if severities:
            record.write()
            log.info("%s", table.line(name, record.sets[name], wanted.severities))
    return clean, bool(missing)


def plan(subject: Subject, wanted: Request, folder: Path) -> tuple[Source, Record]:
    """Return where the images come from, and the record of their tests; check the published arrays first."""
    split = subject.split
    under = {
        "data": content_digest(subject.classes, [split]),
        "step": subject.step,
        **subject.conditions,
    }
    if wanted.root is None:
        # Corruptions are computed in float64, which MPS does not have.
        images = split.images.to("cpu" if subject.place.type == "mps" else subject.place)
        family = "CIFAR-100-C" if subject.dataset == "cifar100" else "CIFAR-10-C"
        return (
            lambda name, severity: Split(corrupt(images, name, severity, wanted.seed), split.labels),
            Record(
                folder / "robustness.json",
                f"{family} style, generated (seed {wanted.seed})",
                DEVIATIONS,
                "of predictions.npz",
                {"seed": wanted.seed, "generator": __version__, **under},
            ),
        )
    published = official.published_for(subject.classes, split.images.shape[-1], split.images.shape[1])
    name = subject.conditions["split"]
    if name != "test" or len(split.labels) != published.images:
        raise ConfigError(
            f"corruptions=official: {published.name} has all {published.images:,} test images, and {name} here has "
            f"{len(split.labels):,}; leave split and dataset.limit out"
        )
    official.check_files(published, wanted.root, wanted.names)
    return (
        partial(official.load, published, wanted.root),
        Record(
            folder / "robustness_official.json",
            f"{published.name}, the published arrays",
            (),
            "of labels.npy; clean: of predictions.npz",
            under,
        ),
    )


def scores(outcome: Evaluation) -> Scores:
    """Return what is kept of a test."""
    return {
        "correct": outcome.correct,
        "total": outcome.total,
        "accuracy": outcome.accuracy,
        **calibrated.scores(outcome),
    }


def right(outcome: Evaluation) -> Any:
    """Return which images were right, bool (n,)."""
    return (outcome.logits.argmax(dim=1) == outcome.labels).numpy()


def draw(subject: Subject, record: Record, wanted: Request, show: Show) -> None:
    """Draw the accuracies, and of corruptions that are made the first image; what fails costs a warning."""
    stem, figures = record.path.stem, {}
    with best_effort("; output=FOLDER names another place") as attempt:
        with attempt(f"{stem}.png"):
            figures[stem] = picture.accuracies(record.sets, record.clean["accuracy"], record.name)
        if wanted.root is None:
            with attempt(f"{stem}_images.png"):
                figures[f"{stem}_images"] = first_image(subject.split, wanted)
        for name, figure in figures.items():
            with attempt(f"{name}.png"):
                drawing.save(figure, record.path.with_name(f"{name}.png"))
        with attempt("the pictures in TensorBoard"):
            show({f"images/{name}": figure for name, figure in figures.items()})


def first_image(split: Split, wanted: Request) -> "Figure":
    """Show the first image under each corruption."""
    image = split.images[:1]
    worse = {
        name: {severity: corrupt(image, name, severity, wanted.seed)[0] for severity in wanted.severities}
        for name in wanted.names
    }
    return picture.grid(image[0], worse)
