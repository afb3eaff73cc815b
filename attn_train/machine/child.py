"""Start Python in a process of its own, with this package, wherever it lies and whatever the working folder holds."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

PACKAGES = Path(__file__).resolve().parents[2]


def start(*arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    """Start Python with `arguments`; `options` are those of `subprocess.Popen`."""
    paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen([sys.executable, "-P", *arguments], env=environment, **options)


def last_line(errors: IO[bytes]) -> str:
    """Return the last line that a process wrote to the file `errors`; "" where it wrote nothing."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
