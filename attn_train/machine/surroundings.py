"""What whoever starts a process leaves out or has otherwise: an encoding, a user's name, a place for temporary files.

Containers and schedulers do; no run may depend on it.
"""

import atexit
import getpass
import io
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from attn_train.errors import ConfigError

# The number of processes that a launcher started with the same words, by the launcher.
LAUNCHERS = {"torchrun": "WORLD_SIZE", "mpirun": "OMPI_COMM_WORLD_SIZE"}


# A folder that every Unix has and that takes no file.
NOWHERE = "/dev/fd"
CACHE = "TORCHINDUCTOR_CACHE_DIR"


def use_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding, and print whatever there is to print.

    Else the name of a class or a folder would depend on the locale. Python 3.15 does the same by itself.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        with suppress(OSError):
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def name_user() -> None:
    """Name the user by number where the system has no name, for the libraries that ask for one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        os.environ["USER"] = f"uid{os.getuid()}"


def temporary_folder() -> Path | None:
    """Return the first of the usual folders for temporary files that takes one, or None.

    The working folder, which tempfile takes as a last resort, is not among them: a run writes only where it was told.
    """
    given = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    for folder in (*filter(None, given), "/tmp", "/var/tmp", "/usr/tmp"):
        with suppress(OSError), tempfile.TemporaryFile(dir=folder):
            return Path(folder)
    return None


def settle_temporary_files(within: Path | None = None) -> None:
    """Settle where this process, its libraries and its children put temporary files.

    Where no usual folder takes them, a hidden one in the folder `within`, which is written anyway, does until the
    process ends; before that is known, none does.
    """
    folder = temporary_folder()
    if folder is None:
        folder = None if within is None else hidden_folder(within)
        # tempfile would try the working folder too, and raise at whoever only asks for the name.
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder or NOWHERE)
        if os.environ.get(CACHE, NOWHERE) == NOWHERE:
            os.environ[CACHE] = tempfile.tempdir
    if folder is not None:
        # Matplotlib would write its list of fonts into the user's home.
        os.environ.setdefault("MPLCONFIGDIR", str(folder / f"attn-train_{getpass.getuser()}"))
    if CACHE in os.environ:
        try:
            # torch does so as soon as it is imported, also where nothing is compiled.
            os.makedirs(os.environ[CACHE], exist_ok=True)
        except OSError:
            os.environ[CACHE] = NOWHERE


def hidden_folder(within: Path) -> Path | None:
    """Make a hidden folder in `within`, or the nearest one above it that is there, to be removed when the process ends;
    return None where that is not possible."""
    there = next(folder for folder in (within.absolute(), *within.absolute().parents) if folder.is_dir())
    try:
        folder = Path(tempfile.mkdtemp(prefix=".temporary-", dir=there))
    except OSError:
        return None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def refuse_twins() -> None:
    """Raise ConfigError where a launcher of distributed programs started several of this process."""
    for launcher, variable in LAUNCHERS.items():
        size = os.environ.get(variable, "1")
        if size.isdecimal() and int(size) > 1:
            raise ConfigError(
                f"{launcher} started {size} processes of this command ({variable}={size}), each of which would train "
                f"the same; a run takes one process: start it without {launcher}, or with {variable} unset"
            )
