"""Which files count as pictures, in training and in prediction: sub-folders, links, junk, every suffix of Pillow's."""

import os
import socket
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from test_data_folder import fill, folder

from attn_train.data.sources.folder import read_image
from attn_train.data.sources.walk import count_kinds
from attn_train.errors import DataError

# What Pillow both writes and reads; kept by hand, so that a format cannot go missing unseen.
SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dds", ".dib", ".gif", ".icns", ".ico", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpg", ".jpx", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".sgi", ".tga", ".tif", ".tiff", ".webp", ".xbm",
)  # fmt: skip
# What Pillow only recognises, hands to other programs, or knows how to write.
NO_PICTURES = (".bufr", ".emf", ".eps", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf", ".ps", ".wmf", ".txt", ".mp4")
JUNK = (
    "a/.hidden.png", "a/._1.png", "a/.DS_Store", "a/.ipynb_checkpoints/1.png", "a/__MACOSX/1.png", "__MACOSX/a/._1.png",
    ".git/1.png", "a/@eaDir/1.png/thumb.jpg", "a/more/lost+found/1.png", "a/Thumbs.db", "b/desktop.ini", "a/notes.TXT",
    "b/README", "b/x.a strange one", "labels.csv", "stray.jpg",
)  # fmt: skip
COUNTED = (
    "3 hidden files, 2 __MACOSX, 2 hidden folders, 1 .csv, 1 .txt, 1 @eaDir, 1 Thumbs.db, 1 desktop.ini, "
    "1 file of another kind, 1 file without suffix, 1 lost+found, 1 picture outside the class folders"
)


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("user")))


def counts(root: Path) -> list[int]:
    """How many pictures of each class are read, in train and test together."""
    dataset = folder(root).load()
    return (dataset.train.labels.bincount() + dataset.test.labels.bincount()).tolist()


def test_pictures_in_sub_folders_of_a_class_count(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 2, "a/more": 3, "a/x/y/z": 1, "b/only/deep": 4})
    assert counts(tmp_path) == [6, 4]


def test_what_is_passed_over_is_counted_by_kind(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 3, "b": 3})
    for name in JUNK:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    assert counts(tmp_path) == [3, 3]
    assert folder(tmp_path).load().notes == (f"passed over: {COUNTED}",)


def test_a_line_names_only_so_many_kinds() -> None:
    shown = count_kinds(Counter({f".{number}": 100 - number for number in range(50)}))
    assert shown.startswith("100 .0, 99 .1, ")
    assert shown.endswith(f", {sum(range(51, 81))} more")


@pytest.mark.parametrize(
    "links",
    [
        {"a/loop": "."},
        {"a/up": ".."},
        {"self": "."},
        {"a/far": "../.."},
        {"a/itself": "itself", "b/x.txt": "x.txt"},
        {"a/p": "q", "a/q": "p"},
        {"a/more/back": "..", "a/twice": "more"},
        {"a/more/to_twin": "../twin", "a/twin/to_more": "../more"},
    ],
    ids=lambda links: ",".join(f"{name}->{target}" for name, target in links.items()),
)
def test_links_that_lead_back_end(links: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "outer" / "pictures"
    fill(root, {"a": 2, "a/more": 2, "a/twin": 2, "b": 5})
    for name, target in links.items():
        (root / name).symlink_to(target)
    assert counts(root) == [6, 5]


def test_links_to_pictures_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", {"first": 3, "second": 2})
    fill(tmp_path / "pictures", {"b": 2})
    (tmp_path / "pictures" / "a").symlink_to(tmp_path / "elsewhere" / "first")
    (tmp_path / "pictures" / "b" / "more").symlink_to(tmp_path / "elsewhere" / "second")
    (tmp_path / "pictures" / "b" / "one.png").symlink_to(tmp_path / "elsewhere" / "first" / "0.png")
    assert counts(tmp_path / "pictures") == [3, 5]


def test_pipes_and_sockets_are_not_waited_for(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 2, "b": 2})
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "b" / "link.png").symlink_to("../a/pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "b" / "socket.jpg"))
        assert counts(tmp_path) == [2, 2]
    assert folder(tmp_path).load().notes == ("passed over: 3 special files",)


def test_a_link_to_a_missing_picture_is_named(tmp_path: Path) -> None:
    fill(tmp_path, {"a": 2, "b": 2})
    for number in range(3):
        (tmp_path / "a" / f"gone{number}.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"gone0\.png.*gone1\.png.*gone2\.png"):
        folder(tmp_path).load()


def test_every_suffix_that_pillow_reads_is_a_picture(tmp_path: Path) -> None:
    Image.init()
    fill(tmp_path, {"a": 0, "b": 2})
    image = Image.effect_noise((64, 64), 50)
    for suffix in SUFFIXES:
        mode = "1" if suffix in (".xbm", ".pbm") else "RGB"
        with (tmp_path / "a" / f"picture{suffix.upper()}").open("wb") as file:
            image.convert(mode).save(file, Image.registered_extensions()[suffix])
    for suffix in NO_PICTURES:
        (tmp_path / "a" / f"other{suffix}").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert counts(tmp_path) == [len(SUFFIXES), 2]


def test_no_other_program_is_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EPS goes to Ghostscript, whatever the file's name says."""
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    started = tmp_path / "started"
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(DataError, match="picture"):
        read_image(path, 16, 3)
    assert not started.exists()
