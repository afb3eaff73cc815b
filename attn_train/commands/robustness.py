"""attn-eval corruptions=...: test a run on images made worse, set by set, from memory."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attn_train import __version__
from attn_train.commands import calibrated
from attn_train.commands.trained import Trained, evaluate_on
from attn_train.data.dataset import Split, content_digest
from attn_train.errors import ConfigError
from attn_train.robust import official, picture
from attn_train.robust.corruptions import (
    CORRUPTIONS,
    DEVIATIONS,
    EXTRA,
    MAIN_GROUPS,
    check_name,
    check_severity,
    corrupt,
)
from attn_train.robust.record import Record, Scores, of_group
from attn_train.runs.tracking import add_figures
from attn_train.settings import words
from attn_train.training.inference import Evaluation
from attn_train.writing import drawing
from attn_train.writing.best_effort import best_effort
from attn_train.writing.text import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = ("corruptions", "severity", "corruptions_root", "corruptions_seed")

log = logging.getLogger(__name__)

# Returns the images of a corruption at a severity, with their labels.
Source = Callable[[str, int], Split]


@dataclass(frozen=True)
class Request:
    """Which corruptions are asked for."""

    names: tuple[str, ...]
    severities: tuple[int, ...]
    seed: int
    root: Path | None  # of the published arrays; None: they are made


def request(asked: Mapping[str, str]) -> Request:
    """Read the words of a command line, by name; raise ConfigError for what is wrong with them."""
    names: list[str] = []
    is_official = asked["corruptions"] == "official"
    for name in listed("corruptions", asked["corruptions"]):
        if name in (*MAIN_GROUPS, EXTRA):
            names += of_group(name)
        elif name == "all" or is_official:
            names += CORRUPTIONS
        else:
            check_name(name)
            names.append(name)
    severities = listed("severity", asked.get("severity", "[1,2,3,4,5]"))
    for severity in severities:
        check_severity(severity)
    seed = asked.get("corruptions_seed", "0")
    if not seed.isdecimal():
        raise ConfigError(f"corruptions_seed={seed}: expected a whole number from 0 on")
    root = None
    if "corruptions_root" in asked:
        root = Path(words.path_of("corruptions_root", asked["corruptions_root"]))
    if is_official != (root is not None):
        raise ConfigError(
            "corruptions=official and corruptions_root=DIR, the folder of the published arrays, go together; "
            "corruptions=all makes images instead"
        )
    if is_official and "corruptions_seed" in asked:
        raise ConfigError(f"corruptions_seed={seed}: the published arrays are as they are; leave it out")
    unique = [name for name in CORRUPTIONS if name in names]
    return Request(tuple(unique), tuple(sorted({int(each) for each in severities})), int(seed), root)


def listed(key: str, value: str) -> list[str]:
    """Return the entries of a list, whether its brackets are given or not."""
    words.check_given(key, value.strip("[], "))
    return [each.strip() for each in value.strip("[] ").split(",")]


def evaluate(trained: Trained, split: Split, asked: Mapping[str, str], wanted: Request) -> Evaluation:
    """Test on `split` and on what corruptions make of it; write what that gives, print it and draw it. Return the test
    of the images as they are."""
    folder = Path(asked.get("output", trained.folder))
    source, record = plan(trained, split, asked, wanted, folder)
    record.recall()
    missing = [
        (name, severity)
        for name in wanted.names
        for severity in wanted.severities
        if severity not in record.sets.get(name, {})
    ]
    kept = len(wanted.names) * len(wanted.severities) - len(missing)
    log.info("%s: %d corruptions, severity %s", record.name, len(wanted.names), ", ".join(map(str, wanted.severities)))
    if kept:
        log.info(
            "%d of %d sets were tested before; remove %s to test them again", kept, kept + len(missing), record.path
        )
    clean = evaluate_on(trained, split)
    record.add_clean(scores(clean), right(clean))
    record.write()
    for name in wanted.names:
        severities = [severity for other, severity in missing if other == name]
        for severity in severities:
            outcome = evaluate_on(trained, source(name, severity))
            record.add(name, severity, scores(outcome), right(outcome))
        if severities:
            record.write()
            log.info("%s", line(name, record.sets[name], wanted.severities))
    report(record)
    draw(trained, split, record, wanted, is_new=bool(missing))
    return clean


def plan(
    trained: Trained, split: Split, asked: Mapping[str, str], wanted: Request, folder: Path
) -> tuple[Source, Record]:
    """Return where the images come from, and the record of their tests; check the published arrays first."""
    conditions: dict[str, Any] = {
        "split": asked["split"],
        "data": content_digest(trained.classes, [split]),
        "checkpoint": asked["checkpoint"],
        "step": trained.step,
        "views": trained.config.eval.views,
        "device": trained.device.kind,
        "precision": trained.device.precision,
    }
    if wanted.root is None:
        images = split.images.to(trained.device.place)
        family = {"cifar10": "CIFAR-10-C", "cifar100": "CIFAR-100-C"}.get(trained.config.dataset.name, "CIFAR-10-C")
        return (
            lambda name, severity: Split(corrupt(images, name, severity, wanted.seed), split.labels),
            Record(
                folder / "robustness.json",
                f"{family} style, generated (seed {wanted.seed})",
                DEVIATIONS,
                "of predictions.npz",
                {"seed": wanted.seed, "generator": __version__, **conditions},
            ),
        )
    published = official.published_for(trained.classes, split.images.shape[-1], trained.channels)
    if asked["split"] != "test" or len(split.labels) != published.images:
        raise ConfigError(
            f"corruptions=official: {published.name} has all {published.images:,} test images, and {asked['split']} "
            f"here has {len(split.labels):,}; leave split and dataset.limit out"
        )
    official.check_files(published, wanted.root, wanted.names)
    return (
        partial(official.load, published, wanted.root),
        Record(
            folder / "robustness_official.json",
            f"{published.name}, the published arrays",
            (),
            "of labels.npy; clean: of predictions.npz",
            conditions,
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


def line(name: str, sets: Mapping[int, Scores], severities: tuple[int, ...]) -> str:
    """Say the accuracy of a corruption at each severity."""
    return f"{name:17} " + " ".join(f"{100 * sets[severity]['accuracy']:6.2f}" for severity in severities) + " %"


def report(record: Record) -> None:
    """Print the table of accuracies, and the means."""
    summary = record.summary()
    tested = [name for name in CORRUPTIONS if name in record.sets]
    severities = sorted({severity for name in tested for severity in record.sets[name]})
    rows = [["accuracy in %", "group", *(f"severity {severity}" for severity in severities), "mean"]]
    for name in tested:
        sets, mean = record.sets[name], record.mean([name])
        shown = [f"{100 * sets[severity]['accuracy']:.2f}" if severity in sets else "" for severity in severities]
        rows.append([name, CORRUPTIONS[name].group, *shown, f"{100 * mean['accuracy']:.2f}" if mean else ""])
    means = {"mean of the fifteen": summary["fifteen"]}
    means |= {f"mean of {group}": summary["groups"][group] for group in (*MAIN_GROUPS, EXTRA)}
    for name, mean in means.items():
        if mean is not None:
            rows.append([name, "", *("" for _ in severities), f"{100 * mean['accuracy']:.2f}"])
    for text in aligned(rows, left=(0, 1)).splitlines():
        log.info("%s", text)
    clean = record.clean
    log.info("clean: %.2f %%, nll %.4f, ece %.4f", 100 * clean["accuracy"], clean["nll"], clean["ece"])
    if summary["corruption_accuracy"] is not None:
        fifteen = summary["fifteen"]
        log.info(
            "%s: %.2f %%, %.2f points below clean, nll %.4f, brier %.4f, ece %.4f",
            record.name,
            100 * fifteen["accuracy"],
            100 * summary["drop"],
            fifteen["nll"],
            fifteen["brier"],
            fifteen["ece"],
        )
    log.info("written: %s", record.path)


def draw(trained: Trained, split: Split, record: Record, wanted: Request, *, is_new: bool) -> None:
    """Draw the accuracies, and of corruptions that are made the first image; what fails costs a warning."""
    stem, figures = record.path.stem, {}
    with best_effort("; output=FOLDER names another place") as attempt:
        with attempt(f"{stem}.png"):
            figures[stem] = picture.accuracies(record.sets, record.clean["accuracy"], record.name)
        if wanted.root is None:
            with attempt(f"{stem}_images.png"):
                figures[f"{stem}_images"] = first_image(split, wanted)
        for name, figure in figures.items():
            with attempt(f"{name}.png"):
                drawing.save(figure, record.path.with_name(f"{name}.png"))
        if is_new and record.path.parent == trained.folder:
            with attempt("the pictures in TensorBoard"):
                tags = {f"images/{name}": figure for name, figure in figures.items()}
                add_figures(trained.folder, tags, trained.step)


def first_image(split: Split, wanted: Request) -> "Figure":
    """Show the first image under each corruption."""
    image = split.images[:1]
    worse = {
        name: {severity: corrupt(image, name, severity, wanted.seed)[0] for severity in wanted.severities}
        for name in wanted.names
    }
    return picture.grid(image[0], worse)
