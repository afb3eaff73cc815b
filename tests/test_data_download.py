"""Downloads from a server on loopback: right, wrong, short, hanging, redirected; never a leftover."""

import errno
import hashlib
import http.server
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_data_samples import assert_is_small, binary_files, python_files, small, small_spec, tar_gz

from attn_train.data.sources import download as module
from attn_train.data.sources.cifar_spec import CifarSpec
from attn_train.data.sources.download import download
from attn_train.errors import DataError, ResourceError

BINARY = tar_gz(binary_files())
PYTHON = tar_gz(python_files())
WRONG = "0" * 32


class Handler(http.server.BaseHTTPRequestHandler):
    """Behaves as the first part of the path says."""

    def do_GET(self) -> None:
        kind, name = self.path.strip("/").split("/")
        body = PYTHON if "python" in name else BINARY
        if kind == "missing":
            self.send_error(404)
        elif kind == "silent":
            self.server.released.wait(20)  # type: ignore[attr-defined]
        elif kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://example.org/evil.tar.gz")
            self.end_headers()
        elif kind == "moved":
            self.send_response(302)
            self.send_header("Location", f"/whole/{name}")
            self.end_headers()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.send_body(kind, body)

    def send_body(self, kind: str, body: bytes) -> None:
        self.wfile.write(body if kind == "whole" else body[:1000])
        self.wfile.flush()
        if kind == "hang":
            self.server.released.wait(20)  # type: ignore[attr-defined]
        while kind == "drip" and not self.server.released.wait(0.05):  # type: ignore[attr-defined]
            try:
                self.wfile.write(b".")
            except OSError:
                return

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def home() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.released = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def spec_at(home: str) -> CifarSpec:
    return small_spec(PYTHON, BINARY, home=home)


def test_a_download_from_home_is_read_and_kept(home: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert_is_small(small(root, spec_at(f"{home}whole/"), download=True).load())
    assert (root / "small-binary.tar.gz").read_bytes() == BINARY
    assert not list(root.glob("*.part"))


@pytest.mark.parametrize("path", ["whole/", "whole/small-python.tar.gz", "moved/small-binary.tar.gz"])
def test_a_mirror_with_official_names_needs_no_digest(path: str, home: str, tmp_path: Path) -> None:
    spec = small_spec(PYTHON, BINARY)
    assert_is_small(small(tmp_path, spec, download=True, url=home + path).load())


@pytest.mark.parametrize("name", ["my-python.tgz", "my.tgz"])
def test_a_mirror_with_other_names_needs_one(name: str, home: str, tmp_path: Path) -> None:
    body = PYTHON if "python" in name else BINARY
    digest = hashlib.sha256(body).hexdigest()
    url = f"{home}whole/{name}"
    assert_is_small(small(tmp_path, download=True, url=url, digest=digest).load())
    assert (tmp_path / "small-mirror.tar.gz").read_bytes() == body


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "HTTP 404"),
        ("short", "ended after 1000 of"),
        ("hang", "timed out"),
        ("silent", "timed out"),
        ("drip", "dataset.time_limit=0.5"),
        ("redirect", "not https"),
    ],
)
def test_a_failed_download_leaves_nothing(kind: str, says: str, home: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        small(root, spec_at(f"{home}{kind}/"), download=True, time_limit=0.5).load()
    assert time.monotonic() - start < 3
    message = str(caught.value)
    assert says in message
    assert str(root) in message
    assert "dataset.url" in message
    assert not list(root.iterdir())


def test_a_wrong_digest_leaves_nothing(home: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=WRONG):
        small(tmp_path, spec_at(f"{home}whole/"), download=True, digest=WRONG).load()
    assert not list(tmp_path.iterdir())


def test_no_network_is_said_at_once(tmp_path: Path) -> None:
    # Port 9 of this computer refuses, as an unplugged network does.
    with pytest.raises(DataError, match="image tree"):
        small(tmp_path, small_spec(home="http://127.0.0.1:9/"), download=True).load()
    assert not list(tmp_path.iterdir())


def test_a_root_that_cannot_be_written(home: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot write"):
        download(f"{home}whole/x", tmp_path / "file" / "x", WRONG, 5.0)


def test_a_full_disk_is_told_from_a_bad_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_receive", fail)
    with pytest.raises(ResourceError, match="disk is full"):
        small(tmp_path, download=True).load()
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_killed_process_go_and_those_of_a_live_one_stay(home: str, tmp_path: Path) -> None:
    old, new = tmp_path / "small-binary.tar.gz.1.part", tmp_path / "small-binary.tar.gz.2.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    small(tmp_path, spec_at(f"{home}whole/"), download=True).load()
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://example.org/x", True),
        ("http://localhost:80/x", True),
        ("http://127.8.8.8/x", True),
        ("http://[::1]/x", True),
        ("http://example.org/x", False),
        ("http://localhost.example.org/x", False),
        ("http://127.0.0.1@example.org/x", False),
        ("ftp://127.0.0.1/x", False),
        ("file:///x", False),
        ("https:///x", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_only_https_and_loopback_are_safe(url: str, safe: bool) -> None:
    assert module._is_safe(url) is safe
