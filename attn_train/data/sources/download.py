"""Fetch one file: https, progress bar, time limit, and nothing left behind unless its digest is right.

torch.hub and pooch have no limit on the whole time, and follow redirects to http.
"""

import errno
import http.client
import ipaddress
import os
import re
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from attn_train.data.sources.archive import file_digest
from attn_train.errors import ConfigError, DataError, ResourceError

SILENCE_SECONDS = 30.0  # without one byte
CHUNK = 1 << 16
ALGORITHMS = {32: "md5", 64: "sha256"}  # by the number of hex digits


def algorithm_of(digest: str) -> str:
    """Return md5 or sha256, by the length of the hex digest; raise ConfigError for any other length."""
    algorithm = ALGORITHMS.get(len(digest))
    if algorithm is None or not re.fullmatch("[0-9a-fA-F]+", digest):
        raise ConfigError(f"dataset.digest={digest}: expected 32 (MD5) or 64 (SHA-256) hex digits; copy it whole")
    return algorithm


def check_url(url: str) -> None:
    """Raise ConfigError for an address that is neither https nor loopback."""
    if not _is_safe(url):
        raise ConfigError(f"dataset.url={url}: expected https://... (http only to this computer itself)")


def download(url: str, target: Path, digest: str, time_limit: float) -> None:
    """Fetch `url` to `target` within `time_limit` seconds.

    Raises DataError for no network, silence, a short body or a wrong digest, ResourceError for a full disk.
    The bytes go to a `.part` file, which is removed whatever goes wrong.
    """
    try:
        target.parent.mkdir(exist_ok=True)
        _remove_leftovers(target)
        # A name of its own keeps two processes that fetch the same file apart.
        part = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
        file = part.open("xb")
    except OSError as error:
        raise DataError(
            f"{target.parent}: cannot write the download there ({error.strerror}); give a writable dataset.root"
        ) from error
    try:
        with file:
            _receive(url, file, time_limit)
        actual = file_digest(part, algorithm_of(digest))
        if actual != digest.lower():
            raise DataError(
                f"{url}: digest {actual}, expected {digest}; {target} was not written; try again or another dataset.url"
            )
        os.replace(part, target)
    except (OSError, http.client.HTTPException) as error:
        raise _explained(error, url, target) from error
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, file: IO[bytes], time_limit: float) -> None:
    deadline = time.monotonic() + time_limit
    # http is allowed for this computer alone, which no proxy of the environment can reach.
    proxies = urllib.request.ProxyHandler({} if url.startswith("http:") else None)
    opener = urllib.request.build_opener(_SafeRedirects(), proxies)
    request = urllib.request.Request(url, headers={"User-Agent": "attn-train", "Accept-Encoding": "identity"})
    with opener.open(request, timeout=min(SILENCE_SECONDS, time_limit)) as response:
        total = int(response.headers.get("Content-Length") or 0)
        received = 0
        name = url.rsplit("/", 1)[-1]
        with tqdm(total=total or None, desc=name, unit="B", unit_scale=True, disable=None) as bar:
            # read1 returns what has arrived; read would wait for a whole chunk, however slowly it drips.
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{received} of {total or 'unknown'} bytes after dataset.time_limit={time_limit:g} s"
                    )
    if received < total:
        raise ConnectionError(f"the connection ended after {received} of {total} bytes")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not _is_safe(newurl):
            fp.close()
            raise urllib.error.URLError(f"redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_safe(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    if parts.scheme != "http":
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _explained(error: Exception, url: str, target: Path) -> DataError | ResourceError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceError(f"{target}: the disk is full; free some space or give another dataset.root")
    reason = getattr(error, "reason", None) or error
    code = ""
    if isinstance(error, urllib.error.HTTPError):
        code = f"HTTP {error.code} "
        # The exception is also the open answer of the server.
        error.close()
    return DataError(
        f"{url}: download failed ({code}{reason}); put {target.name} into {target.parent} "
        "by hand, or give another dataset.url=URL"
    )


def _remove_leftovers(target: Path) -> None:
    # Of a process that was killed; a live one has written within the last SILENCE_SECONDS.
    oldest = time.time() - 2 * SILENCE_SECONDS
    for part in target.parent.glob(f"{target.name}.*.part"):
        if part.stat().st_mtime < oldest:
            part.unlink(missing_ok=True)
