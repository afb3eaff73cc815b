"""CIFAR-10 and CIFAR-100, from whichever form is at hand: packed cache, archive, image tree, download."""

import logging
import urllib.parse
from dataclasses import replace
from typing import ClassVar

from attn_train.data.dataset import Dataset, ImageDataset, Split, canonical_order, checked_dataset
from attn_train.data.sources.cache import Cache
from attn_train.data.sources.cifar_source import PARTS, Source, TreeSource, find_source, mirror_archive
from attn_train.data.sources.cifar_spec import CIFAR10, CIFAR100, CifarSpec
from attn_train.data.sources.download import algorithm_of, check_url, download
from attn_train.data.sources.picture import resize_images
from attn_train.data.sources.walk import notes_of
from attn_train.errors import ConfigError, DataError

log = logging.getLogger(__name__)


class Cifar(ImageDataset):
    """A data set of the family that its `spec` describes."""

    spec: ClassVar[CifarSpec]
    parts = PARTS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.time_limit > 0:
            raise ConfigError(f"dataset.time_limit={self.time_limit}: expected seconds above 0; try 3600")
        self.classes, self.channels = self.spec.classes, self.spec.channels
        self.address, self.file_name, self.expected_digest = _address(self.spec, self.url, self.digest)

    def load(self) -> Dataset:
        """Load the images, uint8 (n, 3, image_size, image_size); raise DataError if missing or damaged."""
        dataset = self._load_native()
        if self.spec.published is not None and dataset.digest != self.spec.published:
            log.warning(
                "%s: the pixels under %s are not the published ones (a lossy copy?): "
                "accuracies are not comparable with published ones",
                self.spec.name,
                self.root,
            )
        if self.image_size == self.spec.image_size:
            return dataset
        train, test = (
            Split(resize_images(split.images, self.image_size), split.labels) for split in (dataset.train, dataset.test)
        )
        resized = checked_dataset(dataset.classes, train, test, self.spec.name)
        return replace(resized, notes=dataset.notes)

    def published_train(self) -> Split:
        """Read the training images in the order in which they were published; see check_order."""
        self.check_order()
        source = find_source(self.spec, self.root, self.digest)
        if source is None:
            raise DataError(self._order_unknown("only a packed copy is there"))
        train, _ = source.read()
        if self.image_size != self.spec.image_size:
            return Split(resize_images(train.images, self.image_size), train.labels)
        return train

    def check_order(self) -> None:
        """Raise DataError where the images lie in a form that does not say the order in which they were published."""
        if isinstance(find_source(self.spec, self.root, self.digest), TreeSource):
            raise DataError(self._order_unknown("a tree of pictures does not say it"))

    def _order_unknown(self, why: str) -> str:
        archives = " or ".join(form.archive for form in self.spec.forms)
        return (
            f"noise=human needs the order in which {self.spec.name} was published, and under dataset.root={self.root} "
            f"{why}; put {archives} there"
        )

    def _load_native(self) -> Dataset:
        # Cached as published: resizing takes seconds, and one file serves every image_size.
        cache = Cache(self.root, self.spec.name, self.spec.image_size)
        source = find_source(self.spec, self.root, self.digest)
        if source is None:
            if dataset := cache.load_newest(self._check):
                return dataset
            source = self._fetch()
        stamps, notes = source.stamps(), notes_of(source.passed_over)
        if dataset := cache.load(stamps, self._check):
            return replace(dataset, notes=notes)
        train, test = (canonical_order(split.images, split.labels) for split in source.read())
        dataset = checked_dataset(self.spec.classes, train, test, self.spec.name)
        self._check(dataset)
        cache.save(dataset, stamps)
        return replace(dataset, notes=notes)

    def _fetch(self) -> Source:
        archives = " or ".join(form.archive for form in self.spec.forms)
        tree = f"an image tree {self.spec.name}/{{train,test}}/<class>/*.png"
        if not self.download:
            raise DataError(
                f"no {self.spec.name} under dataset.root={self.root}: put {archives} there, or {tree}, "
                "or let dataset.download=true fetch it, from a mirror by dataset.url=URL"
            )
        try:
            download(self.address, self.root / self.file_name, self.expected_digest, self.time_limit)
        except DataError as error:
            raise DataError(f"{error}, or put {tree} there") from error
        source = find_source(self.spec, self.root, self.digest)
        if source is None:
            raise DataError(f"{self.root / self.file_name} vanished after its download; start again")
        return source

    def _check(self, dataset: Dataset) -> None:
        """Raise DataError where counts, shape or classes are not those of the spec."""
        spec = self.spec
        side = spec.image_size
        for part, split, count in (
            ("train", dataset.train, spec.train_count),
            ("test", dataset.test, spec.test_count),
        ):
            expected = (count, spec.channels, side, side)
            if tuple(split.images.shape) != expected:
                raise DataError(
                    f"{spec.name} {part}: images {tuple(split.images.shape)}; expected {expected}; fetch it again"
                )
        if dataset.classes != spec.classes:
            raise DataError(f"{spec.name}: its classes are not the official ones; fetch it again")


class Cifar10(Cifar):
    """60,000 colour images of 32x32 pixels in 10 classes."""

    spec = CIFAR10


class Cifar100(Cifar):
    """60,000 colour images of 32x32 pixels in 100 (fine) classes."""

    spec = CIFAR100


def _address(spec: CifarSpec, url: str | None, digest: str | None) -> tuple[str, str, str]:
    """Return the address to download from, the file name to keep, and the digest to expect."""
    if digest is not None:
        algorithm_of(digest)
    official = {form.archive: form.md5 for form in spec.forms}
    default = spec.forms[-1].archive
    if url is None:
        return spec.home + default, default, digest or official[default]
    check_url(url)
    # A folder of mirrored files is a natural thing to paste.
    address = url + default if url.endswith("/") else url
    name = urllib.parse.unquote(urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1])
    if name in official:
        return address, name, digest or official[name]
    if digest is None:
        raise ConfigError(
            f"dataset.url={url}: the digest of '{name}' is not known; give dataset.digest=SHA256 "
            "or a file named "
            f"{' or '.join(official)}"
        )
    return address, mirror_archive(spec), digest
