"""A person's own pictures: every mode, rotation and size, and what can be wrong with a folder of them."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import Forked
from PIL import Image

from attn_train.data.sources.folder import ImageFolder, read_image
from attn_train.errors import ConfigError, DataError

SIDE = 16


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user")))


def read(image: Image.Image, path: Path, channels: int = 3, **options: object) -> torch.Tensor:
    image.save(path, **options)  # type: ignore[arg-type]
    pixels = read_image(path, SIDE, channels)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (channels, SIDE, SIDE)
    return pixels


def colour(pixels: torch.Tensor) -> list[int]:
    """The one colour that a plain picture has everywhere."""
    assert (pixels == pixels[:, :1, :1]).all()
    return pixels[:, 0, 0].tolist()


SIZE = (SIDE, SIDE)
PLAIN = {
    "1": (Image.new("1", SIZE, 1), [255, 255, 255]),
    "L": (Image.new("L", SIZE, 90), [90, 90, 90]),
    "LA": (Image.new("LA", SIZE, (90, 255)), [90, 90, 90]),
    "LA clear": (Image.new("LA", SIZE, (90, 0)), [255, 255, 255]),
    "RGB": (Image.new("RGB", SIZE, (10, 20, 30)), [10, 20, 30]),
    "RGBA": (Image.new("RGBA", SIZE, (10, 20, 30, 255)), [10, 20, 30]),
    "RGBA clear": (Image.new("RGBA", SIZE, (10, 20, 30, 0)), [255, 255, 255]),
    "RGBA half": (Image.new("RGBA", SIZE, (0, 100, 255, 51)), [204, 224, 255]),
    "I;16": (Image.fromarray(np.full(SIZE, 257 * 90, np.uint16)), [90, 90, 90]),
    "I;16 full": (Image.fromarray(np.full(SIZE, 65535, np.uint16)), [255, 255, 255]),
}


@pytest.mark.parametrize("mode", PLAIN)
def test_every_mode_of_a_png(mode: str, tmp_path: Path) -> None:
    image, expected = PLAIN[mode]
    assert colour(read(image, tmp_path / "picture.png")) == expected


def test_palettes_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert colour(read(image, tmp_path / "plain.png")) == [10, 20, 30]
    assert colour(read(image, tmp_path / "clear.png", transparency=1)) == [255, 255, 255]
    assert colour(read(image, tmp_path / "other.png", transparency=0)) == [10, 20, 30]
    assert colour(read(image, tmp_path / "alpha.png", transparency=b"\xff\x33")) == [206, 208, 210]
    assert colour(read(image, tmp_path / "picture.gif", transparency=1)) == [255, 255, 255]


def test_a_colour_declared_transparent(tmp_path: Path) -> None:
    image = Image.new("RGB", SIZE, (10, 20, 30))
    assert colour(read(image, tmp_path / "a.png", transparency=(10, 20, 30))) == [255, 255, 255]
    assert colour(read(Image.new("L", SIZE, 9), tmp_path / "b.png", transparency=9)) == [255, 255, 255]


@pytest.mark.parametrize("kind", ["CMYK", "YCbCr"])
def test_the_colour_spaces_of_jpeg(kind: str, tmp_path: Path) -> None:
    image = Image.new("RGB", SIZE, (200, 60, 20)).convert(kind)
    found = colour(read(image, tmp_path / "picture.jpg", quality=100))
    assert np.abs(np.array(found) - [200, 60, 20]).max() <= 4


def test_grey_on_request(tmp_path: Path) -> None:
    assert colour(read(Image.new("RGB", SIZE, (90, 90, 90)), tmp_path / "a.png", channels=1)) == [90]


def quarters() -> Image.Image:
    """Four grey levels, one a corner, so that any turn shows."""
    corners = np.array([[0, 60], [120, 240]], np.uint8)
    return Image.fromarray(corners.repeat(8, 0).repeat(8, 1))


@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        (1, [0, 60, 120, 240]),
        (2, [60, 0, 240, 120]),
        (3, [240, 120, 60, 0]),
        (4, [120, 240, 0, 60]),
        (5, [0, 120, 60, 240]),
        (6, [120, 0, 240, 60]),
        (7, [240, 60, 120, 0]),
        (8, [60, 240, 0, 120]),
    ],
)
def test_a_camera_held_any_way(orientation: int, corners: list[int], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = read(quarters(), tmp_path / "picture.png", exif=exif)
    assert pixels[0, [0, 0, -1, -1], [0, -1, 0, -1]].tolist() == corners


@pytest.mark.parametrize("size", [(64, 16), (16, 64), (200, 50), (50, 200), (3, 3), (1, 500), (17, 16)])
def test_any_size_keeps_the_centre(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    ramp[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    pixels = read(Image.fromarray(ramp), tmp_path / "picture.png").double()
    short = min(size)
    for channel, (length, axis) in enumerate(((width, 0), (height, 1))):
        if length > 1:
            line = pixels[channel].mean(axis)
            assert line.mean() == pytest.approx(127.5, abs=2)
            span = 255 * (short - short / SIDE) / (length - 1)
            assert line[-1] - line[0] == pytest.approx(min(span, 255), abs=0.12 * span + 3)


def test_shrinking_does_not_alias(tmp_path: Path) -> None:
    stripes = np.zeros((160, 160), np.uint8)
    stripes[:, ::2] = 255
    pixels = read(Image.fromarray(stripes), tmp_path / "picture.png").double()
    assert (pixels - 127.5).abs().max() < 5


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_an_unreadable_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(path, SIDE, 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_or_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    with pytest.raises(DataError, match="picture"):
        read_image(path, SIDE, 3)
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="picture"):
        read_image(path, SIDE, 3)


def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (14, 14)).save(tmp_path / "picture.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.raises(DataError, match=r"picture\.png.*too many pixels.*over 120"):
        read_image(tmp_path / "picture.png", SIDE, 3)


@pytest.mark.slow
def test_a_large_picture_is_read_without_a_word(tmp_path: Path) -> None:
    Image.new("1", (10_000, 10_000)).save(tmp_path / "scan.png")
    program = (
        "from pathlib import Path; from attn_train.data.sources.folder import read_image; "
        f"read_image(Path('scan.png'), {SIDE}, 1)"
    )
    process = Forked(program, folder=tmp_path)
    assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == 0


def test_float_pixels_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"picture\.tif.*float"):
        read(Image.new("F", SIZE, 0.5), tmp_path / "picture.tif")
    Image.fromarray(np.full(SIZE, 1 << 20, np.int32)).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match=r"deep\.tif.*65535"):
        read_image(tmp_path / "deep.tif", SIDE, 3)


def folder(root: Path, image_size: int = SIDE) -> ImageFolder:
    return ImageFolder(root=root, download=False, url=None, digest=None, image_size=image_size, time_limit=5.0)


def fill(root: Path, parts: dict[str, int], seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for name, count in parts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            shape = (int(random.integers(10, 40)), int(random.integers(10, 40)), 3)
            pixels = random.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def test_train_and_test_folders(tmp_path: Path) -> None:
    fill(tmp_path, {"train/b": 4, "train/a": 3, "test/a": 2, "test/b": 1})
    for junk in ("notes.txt", ".hidden.png"):
        (tmp_path / "train" / "a" / junk).write_bytes(b"")
    source = folder(tmp_path)
    assert (source.classes, source.channels, source.image_size) == (("a", "b"), 3, SIDE)
    dataset = source.load()
    assert dataset.train.labels.bincount().tolist() == [3, 4]
    assert dataset.test.labels.bincount().tolist() == [2, 1]
    assert dataset.notes == ("passed over: 1 .txt, 1 hidden file",)
    packed = folder(tmp_path).load()
    assert (packed.digest, packed.notes, packed.train.files) == (dataset.digest, dataset.notes, dataset.train.files)


DIVIDED = [
    ({"train": "train", "test": "test"}, ""),
    ({"train": "training", "test": "testing"}, "training/ is the train split, testing/ is the test split"),
    ({"train": "Train", "test": "TEST"}, "Train/ is the train split, TEST/ is the test split"),
    ({"train": "train", "test": "evaluation"}, "train/ is the train split, evaluation/ is the test split"),
    ({"train": "train", "val": "val", "test": "test"}, ""),
    ({"train": "train", "val": "dev", "test": "test"}, ".*, dev/ is the val split, test/ is the test split"),
    ({"train": "training", "val": "validation", "test": "eval"}, ".*, validation/ is the val split, .*"),
    ({"train": "train", "val": "Valid", "test": "Testing"}, ".*, Valid/ is the val split, Testing/ is .*"),
    ({"train": "train", "test": "val"}, "the test images are those of val/, since there is no test/"),
    ({"train": "training", "test": "validation"}, "the test images are those of validation/, since .*"),
    ({"train": "training_set", "test": "test_set"}, "training_set/ is the train split, test_set/ is the test split"),
    ({"train": "Train Data", "test": "Test Data"}, "Train Data/ is the train split, .*"),
    ({"train": "seg_train", "test": "seg_test"}, "seg_train/ is the train split, .*"),
    ({"train": "trainset", "val": "valset", "test": "testset"}, ".*valset/ is the val split, .*"),
    ({"train": "train-images", "test": "val-images"}, "the test images are those of val-images/, since .*"),
]


def test_classes_with_the_same_sub_folders_are_told(tmp_path: Path) -> None:
    """They may be the classes, and the folders around them parts by other names."""
    fill(tmp_path / "parts", {f"{part}/{name}": 2 for part in ("mine", "yours") for name in ("cat", "dog")})
    (note,) = folder(tmp_path / "parts").load().notes
    assert "mine, yours" in note
    assert "cat, dog" in note
    assert "train and test" in note
    fill(tmp_path / "views", {"cat/front": 2, "cat/side": 2, "dog/front": 3})
    assert folder(tmp_path / "views").load().notes == ()


def test_all_classes_that_are_too_small_are_named_at_once(tmp_path: Path) -> None:
    fill(tmp_path / "small", {"a": 3, "b": 1, "c": 1})
    with pytest.raises(DataError, match=r"small/b, \S*small/c: 1 image"):
        folder(tmp_path / "small").load()
    fill(tmp_path / "empty", {"a": 3, "b": 0, "c": 0})
    with pytest.raises(DataError, match=r"empty/b, \S*empty/c: no image files"):
        folder(tmp_path / "empty").load()


@pytest.mark.parametrize(("parts", "note"), DIVIDED, ids=lambda given: str(given))
def test_the_usual_names_of_the_parts(parts: dict[str, str], note: str, tmp_path: Path) -> None:
    """Each part has the pictures of its own folder, from the packed cache too; what is taken for what is said."""
    sizes = {"train": (5, 4), "val": (3, 1), "test": (2, 2)}
    fill(tmp_path, {f"{parts[part]}/{name}": sizes[part][number] for part in parts for number, name in enumerate("ab")})
    first, packed = folder(tmp_path).load(), folder(tmp_path).load()
    for dataset in (first, packed):
        splits = {"train": dataset.train, "test": dataset.test} | ({"val": dataset.val} if dataset.val else {})
        assert {part: tuple(split.labels.bincount().tolist()) for part, split in splits.items()} == {
            part: sizes[part] for part in parts
        }
        for part, split in splits.items():
            assert all(name.startswith(f"{parts[part]}/") for name in split.files)
        (said,) = dataset.notes or ("",)
        assert re.fullmatch(note, said)
    assert first.digest == packed.digest


@pytest.mark.parametrize(
    "names",
    [
        "train apple",
        "test apple",
        "train test apple",
        "val dev cat",
        "Training eval validation bus",
        "train apple/more",
    ],
)
def test_classes_may_have_the_names_of_parts(names: str, tmp_path: Path) -> None:
    """As CIFAR-100 has one: a folder is a part only where no picture lies directly in it."""
    fill(tmp_path, dict.fromkeys(names.split(), 5))
    dataset = folder(tmp_path).load()
    assert dataset.classes == tuple(sorted(name.partition("/")[0] for name in names.split()))
    assert dataset.train.labels.bincount().tolist() == [4] * len(dataset.classes)


def test_what_lies_beside_the_parts_is_said(tmp_path: Path) -> None:
    fill(tmp_path, {"train/a": 2, "train/b": 2, "val/a": 1, "val/b": 1, "test": 3, "extra/a": 1})
    assert folder(tmp_path).load().notes == (
        "the test images are those of val/, since there is no test/",
        "passed over: 1 folder extra, 1 folder test",
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("train/a train/b Training/a Training/b test/a test/b", "Training/ and train/ are both names for the train"),
        ("train/a train/b test/a test/b val/a val/b dev/a dev/b", "dev/ and val/ are both names for the val split"),
        ("train test", r"the pictures of test/, train/ are in no class folders.*like test/cat/"),
        ("train", "the pictures of train/ are in no class folders"),
        ("train/a train/b test", r"test: its pictures are in no class folders, .*dataset\.root=\S+/train"),
        (
            "train/a train/b apple",
            r"test: no such folder beside train/ \(nor testing, .*if train is a class.*dataset\.root=\S+/train",
        ),
        ("test/a test/b apple", r"train: no such folder beside test/ \(nor training\); .*if test is a class"),
        ("train/a train/b test/a test/b val/a", "classes b are missing in some of train/, val/, test/"),
        ("wrapper/a wrapper/b", r"only wrapper; .*dataset\.root=\S+/wrapper"),
    ],
)
def test_what_cannot_be_told_is_refused(names: str, message: str, tmp_path: Path) -> None:
    fill(tmp_path, dict.fromkeys(names.split(), 2))
    with pytest.raises(DataError, match=message) as refused:
        folder(tmp_path).load()
    assert "\n" not in str(refused.value)


def test_a_flat_folder_is_split_the_same_at_every_size_and_name(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 10, "b": 20})
    first = folder(tmp_path).load()
    assert first.test.labels.bincount().tolist() == [2, 4]
    assert first.train.labels.bincount().tolist() == [8, 16]
    expected = folder(tmp_path, image_size=64).load().test.labels.tolist()
    assert first.test.labels.tolist() == expected
    for path in list((tmp_path / "a").iterdir()):
        path.rename(path.with_name(f"{9 - int(path.stem)}-renamed.png"))
    assert folder(tmp_path).load().digest == first.digest


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        folder(tmp_path / "no" / "parent")
    with pytest.raises(DataError, match="no such folder"):
        folder(tmp_path / "missing")
    with pytest.raises(DataError, match="found none"):
        folder(tmp_path)
    fill(tmp_path, {"a": 2})
    with pytest.raises(DataError, match="only a"):
        folder(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"b: no image files"):
        folder(tmp_path).load()
    Image.new("L", SIZE).save(tmp_path / "b" / "0.png")
    with pytest.raises(DataError, match=r"b: 1 image"):
        folder(tmp_path).load()
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"test: no such folder"):
        folder(tmp_path)
    fill(tmp_path, {"train/a": 1, "train/b": 1, "test/a": 1})
    with pytest.raises(DataError, match="classes b are missing in some of train/, test/"):
        folder(tmp_path)


@pytest.mark.parametrize("count", [2, 10, 11, 25])
def test_damaged_pictures_are_named_all_at_once(count: int, tmp_path: Path) -> None:
    """Those of train and of test; beyond ten, how many more."""
    fill(tmp_path, {"train/a": 15, "train/b": 1, "test/a": 15, "test/b": 1})
    paths = [tmp_path / ("train", "test")[number % 2] / "a" / f"{number // 2}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes((b"", b"no image", path.read_bytes()[:60])[number % 3])
    with pytest.raises(DataError, match=f"^{count} of 32 pictures cannot be used: ") as caught:
        folder(tmp_path).load()
    assert sum(str(path) in str(caught.value) for path in paths) == min(count, 10)
    assert str(caught.value).endswith(f"; and {count - 10} more") == (count > 10)
    assert "\n" not in str(caught.value)


def test_a_damaged_picture_in_a_folder_is_named(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "b" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"b/1\.png.*empty"):
        folder(tmp_path).load()
