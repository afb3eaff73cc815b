"""attn-eval: test a run again from its checkpoint, or name what is on a person's own pictures."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from attn_train import build
from attn_train.commands import against, calibrated, export, predicted, robustness
from attn_train.commands.naming import name_pictures
from attn_train.commands.plan import check_file
from attn_train.commands.trained import Trained, evaluate_on, own_splits
from attn_train.data.dataset import Split, limit_per_class
from attn_train.data.overview import suspicions
from attn_train.data.sources.folder import undivided_digest
from attn_train.data.sources.labelled import describe, load_labelled
from attn_train.errors import ConfigError
from attn_train.robust.request import WORDS, request
from attn_train.runs import pictures, result
from attn_train.settings import compose, saved, words
from attn_train.settings.schema import DatasetSettings
from attn_train.training.inference import Evaluation
from attn_train.writing import drawing
from attn_train.writing.best_effort import best_effort
from attn_train.writing.text import aligned

CHOICES = {"checkpoint": ("last", "best"), "split": ("test", "train", "val")}

log = logging.getLogger(__name__)


def split_arguments(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return the command's own words (run, checkpoint, split, image, output, export, predictions, those of `against`
    and `robustness`), and the overrides of the run's settings."""
    asked: dict[str, str] = {"checkpoint": "last", "split": "test"}
    overrides = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals:
            raise ConfigError(f"'{argument}' is not of the form NAME=VALUE; attn-eval --help shows the names")
        if key in ("run", "image", "output", "export", "against_root", "predictions"):
            asked[key] = words.path_of(key, value)
        elif key in CHOICES or key == "against" or key in WORDS:
            asked[key] = value
        else:
            overrides += words.readable([argument])
    if "run" not in asked:
        raise ConfigError("run=RUN is missing; name a run folder, like run=outputs/DATE/TIME_MODEL_DATASET_ID")
    for key, choices in CHOICES.items():
        if asked[key] not in choices:
            raise ConfigError(f"{key}={asked[key]} is not a choice; choose from {', '.join(choices)}")
    if "output" in asked and "export" in asked:
        raise ConfigError(f"output={asked['output']} says where to draw, and export= draws nothing; leave one out")
    against.check(asked)
    for other in ("export", "corruptions"):
        if "predictions" in asked and other in asked:
            raise ConfigError(f"predictions={asked['predictions']} is of a test or of image=; leave {other}= out")
    lone = [key for key in WORDS if key in asked and "corruptions" not in asked]
    if lone:
        raise ConfigError(f"{lone[0]}={asked[lone[0]]} belongs to corruptions=all (or a list); give that too")
    if "corruptions" in asked and any(other in asked for other in ("image", "export", "against")):
        raise ConfigError(
            "corruptions= tests a run on its own images made worse; leave image=, export= and against= out"
        )
    return asked, overrides


def main(arguments: list[str], claim: Callable[[Path, str], object]) -> Evaluation | None:
    """Do what the command line asks, and return what a test found; `claim` makes the folder of `output` or raises.
    Raise for anything wrong."""
    asked, overrides = split_arguments(arguments)
    wanted = request(asked) if "corruptions" in asked else None
    folder = Path(asked["run"])
    was = compose.to_config(saved.read(folder))
    config = saved.evaluated(folder, overrides)
    given = {override.partition("=")[0].lstrip("+") for override in overrides}
    build.forget_data()
    if "export" in asked:
        check_file(Path(asked["export"]), "export", export.SUFFIX)
    if "predictions" in asked:
        check_file(Path(asked["predictions"]), "predictions", predicted.SUFFIX)
    if "output" in asked:
        claim(Path(asked["output"]), "output")
    trained = Trained(folder, asked["checkpoint"], config)
    if "export" in asked:
        target = Path(asked["export"])
        export.write(target, trained.model, config, trained.channels, trained.classes, trained.step)
        log.info("weights after step %d, with what they belong to: %s", trained.step, target)
        return None
    if "image" in asked:
        table = Path(asked["predictions"]) if "predictions" in asked else None
        name_pictures(trained, Path(asked["image"]), Path(asked.get("output", folder / "attention")), table)
        return None
    splits = {}
    if is_other_folder(was.dataset, config.dataset):
        split = labelled_split(trained, asked["split"], given)
    else:
        splits = own_splits(trained)
        split = chosen(splits, asked["split"])
    if wanted is not None:
        subject = robustness.subject_of(trained, split, asked["split"], asked["checkpoint"])
        return robustness.evaluate(subject, wanted, Path(asked.get("output", folder)))
    can_scale = asked["split"] == "test" and holds_out_the_same(was.dataset, config.dataset)
    return test(trained, split, splits.get("val") if can_scale else None, asked=asked, overrides=overrides)


def test(
    trained: Trained, split: Split, held_out: Split | None, *, asked: dict[str, str], overrides: list[str]
) -> Evaluation:
    """Test a network on the images of a split, and print and draw what is found.

    held_out: the run's validation images, for a temperature; None: none is fitted.
    """
    config, name = trained.config, asked.get("against")
    other = against.load(config.dataset, name, asked.get("against_root")) if name else None
    outcome = evaluate_on(trained, split)
    validated = None if held_out is None else evaluate_on(trained, held_out)
    report(trained, asked["split"], outcome)
    for line in calibrated.lines(outcome, validated, config.train.label_smoothing, config.eval.views):
        log.info("%s", line)
    if asked["split"] == "test":
        confirm(trained, outcome, [*overrides, *(["checkpoint=best"] if asked["checkpoint"] == "best" else [])])
    if name and other:
        against.report(trained, outcome, asked["split"], name, other)
    if "predictions" in asked:
        files = split.files or tuple(map(str, range(outcome.total)))
        predicted.write(Path(asked["predictions"]), outcome.logits, trained.classes, files, outcome.labels)
        log.info("each image, what is said of it and with what probability: %s", asked["predictions"])
    if "output" in asked:
        draw_reliability(outcome, Path(asked["output"]) / "reliability.png")
    return outcome


def is_other_folder(was: DatasetSettings, now: DatasetSettings) -> bool:
    """Say whether `now` is a folder of labelled pictures, and not the one that the run was trained on."""
    if now.name != "image_folder":
        return False
    return was.name != now.name or os.path.realpath(was.root) != os.path.realpath(now.root)


def holds_out_the_same(was: DatasetSettings, now: DatasetSettings) -> bool:
    """Say whether the validation images of `now` are those of the run; others may have been trained on."""
    return (was.name, was.limit, was.val_size) == (now.name, now.limit, now.val_size)


def labelled_split(trained: Trained, name: str, given: set[str]) -> Split:
    """Return all labelled pictures of a folder that is not the run's own, or those of the split `name` where it is
    divided; the run's own split where the folder only has another place.

    Of the run's settings, those that choose among its own pictures count only where they are `given` here.
    """
    config = trained.config.dataset
    if config.val_size and "dataset.val_size" in given:
        raise ConfigError(
            f"dataset.val_size={config.val_size}: nothing is held out of a folder whose pictures are all tested; leave "
            "it out"
        )
    labelled = load_labelled(Path(config.root), name, trained.classes, config.image_size, trained.channels)
    if not labelled.is_divided:
        finished = result.read(trained.folder)
        if finished and finished["data_digest"] == undivided_digest(labelled.split, trained.classes):
            log.info("%s holds the pictures that the run was trained on: tested on its own split", config.root)
            return chosen(own_splits(trained), name)
        if name != "test":
            raise ConfigError(f"split={name}: {config.root} is not divided, all its pictures are tested; leave it out")
    limit = config.limit if "dataset.limit" in given else None
    split = labelled.split if limit is None else limit_per_class(labelled.split, limit)
    log.info("%s", describe(labelled, split, trained.classes, limit))
    for suspicion in suspicions({"test": split}):
        log.warning("%s: %s", config.root, suspicion)
    return split


def chosen(splits: dict[str, Split], name: str) -> Split:
    """Return one of the splits; raise ConfigError where it is not there."""
    if name not in splits:
        raise ConfigError(
            f"split={name}: the run held out no validation images (dataset.val_size=0); choose from test, train"
        )
    return splits[name]


def report(trained: Trained, split: str, outcome: Evaluation) -> None:
    """Print the accuracy of each class and of all."""
    right = outcome.logits.argmax(dim=1) == outcome.labels
    rows = []
    for number, name in enumerate(trained.classes):
        of_class = outcome.labels == number
        if of_class.any():
            rows.append(
                [
                    f"  {name}",
                    f"{100 * right[of_class].float().mean():.2f} %",
                    f"{right[of_class].sum()} of {of_class.sum()}",
                ]
            )
    for line in aligned(rows, left=(0,)).splitlines():
        log.info("%s", line)
    log.info("Accuracy of the model on the %d %s images: %.2f %%", outcome.total, split, 100 * outcome.accuracy)
    log.info("%d of %d right, loss %.4f, after step %d", outcome.correct, outcome.total, outcome.loss, trained.step)


def confirm(trained: Trained, outcome: Evaluation, given: list[str]) -> None:
    """Print the result that the run left, without what is `given` here, beside that of a test."""
    finished = result.read(trained.folder)
    if finished is not None:
        same = (finished["correct"], finished["total"]) == (outcome.correct, outcome.total)
        verdict = ": the same" if same else f", without {' '.join(given)}" if given else ": not the same"
        log.info("result.json says %d of %d%s", finished["correct"], finished["total"], verdict)


def draw_reliability(outcome: Evaluation, target: Path) -> None:
    """Draw the reliability diagram of a test; what fails costs a warning."""
    with best_effort() as attempt, attempt(f"the reliability diagram {target}"):
        drawing.save(pictures.reliability(outcome.calibration), target)
        log.info("reliability diagram: %s", target)
