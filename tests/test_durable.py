"""File systems that cannot say when a file is safe, or cannot lock one: a run goes on there, and says so once."""

import errno
import fcntl
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Command

from attn_train.errors import ConfigError, ResourceError
from attn_train.runs.lock import locked
from attn_train.writing import once
from attn_train.writing.durable import sync_folder, write_durably

SYNC_UNSUPPORTED = [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF]
LOCKS_UNSUPPORTED = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has said nothing yet."""
    monkeypatch.setattr(once, "said", set())


def failing(function: Callable[..., Any], number: int, when: Callable[..., bool]) -> Callable[..., Any]:
    """Return `function`, which raises the system's error `number` where `when` says so of its arguments."""

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            raise OSError(number, os.strerror(number))
        return function(*arguments, **options)

    return wrapped


def is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("number", SYNC_UNSUPPORTED)
@pytest.mark.parametrize("where", ["folders", "everything"])
def test_without_fsync_a_file_is_written_and_the_doubt_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, where: str
) -> None:
    monkeypatch.setattr(os, "fsync", failing(os.fsync, number, is_folder if where == "folders" else lambda _: True))
    for text in (b"one", b"two"):
        write_durably(tmp_path / "file", lambda file, text=text: file.write(text))  # type: ignore[misc]
    assert (tmp_path / "file").read_bytes() == b"two"
    (said,) = warnings(caplog)
    assert str(tmp_path) in said
    assert "power cut" in said


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTSUP, errno.EISDIR])
def test_a_folder_that_cannot_be_opened_is_not_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr(os, "open", failing(os.open, number, lambda path, *_: Path(path) == tmp_path))
    write_durably(tmp_path / "file", lambda file: file.write(b"text"))
    sync_folder(tmp_path)
    assert (tmp_path / "file").read_bytes() == b"text"
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("folder", [True, False])
def test_a_real_error_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, folder: bool) -> None:
    monkeypatch.setattr(os, "fsync", failing(os.fsync, number, lambda descriptor: is_folder(descriptor) is folder))
    with pytest.raises(ResourceError, match=os.strerror(number)) as raised:
        write_durably(tmp_path / "file", lambda file: file.write(b"text"))
    assert ("free some space" in str(raised.value)) is (number != errno.EIO)


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")


@pytest.mark.parametrize("number", LOCKS_UNSUPPORTED)
def test_without_locks_a_folder_is_held_and_the_doubt_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(fcntl.flock, number, lambda *_: True))
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / ".lock").read_text() == str(os.getpid())
    (said,) = warnings(caplog)
    assert str(tmp_path) in said
    assert "two processes" in said


def test_a_lock_that_fails_otherwise_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(fcntl.flock, errno.EIO, lambda *_: True))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)), locked(tmp_path):
        pass
    monkeypatch.setattr(fcntl, "flock", failing(fcntl.flock, errno.EWOULDBLOCK, lambda *_: True))
    with pytest.raises(ConfigError, match="is being trained"), locked(tmp_path):
        pass


@pytest.mark.slow
def test_a_sweep_on_a_file_system_with_neither(train: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where a file has no number of links, as on some FUSE and CIFS."""
    monkeypatch.setattr(fcntl, "flock", failing(fcntl.flock, errno.ENOSYS, lambda *_: True))
    monkeypatch.setattr(os, "fsync", failing(os.fsync, errno.EINVAL, is_folder))
    fstat = os.fstat

    def without_links(descriptor: int) -> os.stat_result:
        status = list(fstat(descriptor))
        status[stat.ST_NLINK] = 0
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", without_links)
    ended = train("-m", *TINY, "seed=0,1", "sweep=mine")
    assert ended.code == 0, ended.err
    assert "2 runs finished, 0 failed" in ended.out
    assert ended.out.count("has no locks") == 1
    assert ended.out.count("power cut") == 1
    assert ended.err == ""
