"""attn-eval against=DATASET: is a network less sure of images that are none of its own?"""

import logging
import os
import unicodedata
from dataclasses import replace

import torch
from torch import Tensor

from attn_train import build
from attn_train.commands.trained import Trained, evaluate_on
from attn_train.data.dataset import Dataset, Split
from attn_train.data.sources import DATASETS
from attn_train.data.sources.picture import with_channels
from attn_train.errors import ConfigError, DataError
from attn_train.settings.schema import DatasetSettings
from attn_train.statistics.intervals import chance, chance_interval
from attn_train.training.inference import Evaluation

log = logging.getLogger(__name__)


def check(asked: dict[str, str]) -> None:
    """Raise ConfigError where the words about another data set mean nothing."""
    name = asked.get("against")
    if name is None:
        if "against_root" in asked:
            raise ConfigError(f"against_root={asked['against_root']} is where another data set lies; give against=NAME")
        return
    if name not in DATASETS:
        raise ConfigError(f"against={name} is not a data set; choose from {', '.join(DATASETS)}")
    for other in ("image", "export"):
        if other in asked:
            raise ConfigError(f"against={name} is about a test, and {other}= is none; leave one out")


def load(settings: DatasetSettings, name: str, root: str | None) -> Dataset:
    """Load another data set, its images as large as those that are tested; raise ConfigError where it is the same, and
    DataError where it cannot be found."""
    place = settings.root if root is None else root
    if name == settings.name and (name != "image_folder" or os.path.realpath(place) == os.path.realpath(settings.root)):
        others = ", ".join(other for other in DATASETS if other != settings.name)
        raise ConfigError(f"against={name} is the data set that is tested itself; choose from {others}")
    # The figures that it would be normalised by are those of the network's own data.
    other = replace(
        settings, name=name, root=place, url=None, digest=None, val_size=0, mean=[0.5], deviation=[0.5], limit=None
    )
    try:
        return build.make_source(other).load()
    except (ConfigError, DataError) as error:
        raise type(error)(f"against={name}: {error}; against_root=PATH names the folder of that data set") from error


def report(trained: Trained, own: Evaluation, split: str, name: str, other: Dataset) -> None:
    """Print how often the network is surer of an image of its own, of which `own` is a test, than of a test image of
    another data set."""
    if common := shared(trained.classes, other.classes):
        log.warning("%s has classes of the run's own, which are nothing foreign: %s", name, ", ".join(common))
    images = with_channels(other.test.images, trained.channels)
    # Its labels mean nothing to the network.
    foreign = evaluate_on(trained, Split(images, torch.zeros_like(other.test.labels)))
    log.info(
        "against %d test images of %s: how often one of the %d %s images has the larger value (AUROC; a tie is half)",
        len(images),
        name,
        own.total,
        split,
    )
    for what, sure in (("confidence", confidence), ("energy", energy)):
        ours, theirs = (sure(outcome.logits.double()).tolist() for outcome in (own, foreign))
        auroc = chance(ours, theirs)
        low, high = chance_interval(auroc, len(ours), len(theirs))
        log.info("  %s %.4f, 95 %% interval [%.4f, %.4f]", what, auroc, low, high)


def confidence(logits: Tensor) -> Tensor:
    """Return the largest probability of each image (Hendrycks and Gimpel, 2017)."""
    return logits.softmax(dim=1).amax(dim=1)


def energy(logits: Tensor) -> Tensor:
    """Return the logarithm of the sum of the exponentials of each image's logits (Liu et al., 2020)."""
    return logits.logsumexp(dim=1)


def shared(classes: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    """Return the classes that are among others by their names, whatever the form of their letters."""
    plain = {unicodedata.normalize("NFC", name).casefold() for name in others}
    return [name for name in classes if unicodedata.normalize("NFC", name).casefold() in plain]
