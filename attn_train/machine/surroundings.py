"""Replace what containers and schedulers may leave out: a UTF-8 locale, a user's name, a folder for temporary files."""

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

# The variable in which each launcher states how many processes it started.
LAUNCHERS = {"torchrun": "WORLD_SIZE", "mpirun": "OMPI_COMM_WORLD_SIZE"}

# A folder that every Unix has and in which no file can be made.
NOWHERE = "/dev/fd"
CACHE = "TORCHINDUCTOR_CACHE_DIR"


def use_utf8() -> None:
    """Restart in Python's UTF-8 mode where the locale has another encoding; print what cannot be encoded as escapes.

    Otherwise the name of a class or a folder would depend on the locale. Python 3.15 does the same by itself.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        with suppress(OSError):
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONUTF8": "1"})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def name_user() -> None:
    """Name the user by number where the system has no name, for libraries that ask for one."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        os.environ["USER"] = f"uid{os.getuid()}"


def temporary_folder() -> Path | None:
    """Return the first of the usual folders for temporary files in which one can be made, or None.

    The working folder, tempfile's last resort, is not among them: a run writes only into the folders of its settings.
    """
    configured = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    for folder in (*filter(None, configured), "/tmp", "/var/tmp", "/usr/tmp"):
        with suppress(OSError), tempfile.TemporaryFile(dir=folder):
            return Path(folder)
    return None


def settle_temporary_files(within: Path | None = None) -> None:
    """Choose where this process, its libraries and its children put temporary files.

    Args:
        within: a folder of the run. Where no usual folder can be written, a hidden one is made in it until the process
            ends; None while it is not known: then temporary files fail.
    """
    folder = temporary_folder()
    if folder is None:
        folder = None if within is None else hidden_folder(within)
        # Else tempfile would try the working folder too, and raise even where only the name is asked for.
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder or NOWHERE)
        if os.environ.get(CACHE, NOWHERE) == NOWHERE:
            os.environ[CACHE] = tempfile.tempdir
    if folder is not None:
        # Matplotlib would write its list of fonts into the user's home.
        os.environ.setdefault("MPLCONFIGDIR", str(folder / f"attn-train_{getpass.getuser()}"))
    if CACHE in os.environ:
        try:
            # torch makes this folder as soon as it is imported, even where nothing is compiled.
            os.makedirs(os.environ[CACHE], exist_ok=True)
        except OSError:
            os.environ[CACHE] = NOWHERE


def hidden_folder(within: Path) -> Path | None:
    """Make a hidden folder in `within`, or in the nearest folder above that exists, until the process ends; return None
    where that fails."""
    existing = next(folder for folder in (within.absolute(), *within.absolute().parents) if folder.is_dir())
    try:
        folder = Path(tempfile.mkdtemp(prefix=".temporary-", dir=existing))
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
