"""A plugin's code: a file that the command line names, read once, run once, known by its SHA-256."""

import hashlib
import re
import sys
import traceback
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from attn_train.errors import ConfigError
from attn_train.writing.text import printable


@dataclass(frozen=True)
class Source:
    """The code of a plugin: where it is from, the mechanisms and networks in it, and what it is known by."""

    place: str  # a file, or an installed package
    code: str  # SHA-256 of the file; of a package its name and version
    attention: dict[str, type[nn.Module]]
    backbones: dict[str, type[Any]]


def read(path: Path) -> Source:
    """Run a file and return what it offers; raise ConfigError in one line for a file that offers nothing or fails.

    Its public classes that are modules of torch are mechanisms, by their names: all that it defines itself, or those
    that its `__all__` lists. A dict `BACKBONES` names networks.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"plugins: {path} cannot be read: {error.strerror}; name a file of Python") from error
    if path.suffix != ".py":
        raise ConfigError(f"plugins: {path} is no file of Python; name one like my_attention.py")
    module = run(path, content)
    backbones = getattr(module, "BACKBONES", {})
    if not isinstance(backbones, dict) or not all(isinstance(kind, type) for kind in backbones.values()):
        raise ConfigError(f"plugins: BACKBONES in {path} must be a dict of classes by name")
    attention = {
        name: kind for name, kind in modules_of(module).items() if kind not in backbones.values() and is_name(name)
    }
    if not attention and not backbones:
        raise ConfigError(
            f"plugins: {path} offers nothing; it needs a public class that is a torch.nn.Module, or a dict BACKBONES"
        )
    return Source(str(path), hashlib.sha256(content).hexdigest(), attention, dict(backbones))


def run(path: Path, content: bytes) -> ModuleType:
    """Run a file's content as a module of its own."""
    name = "attn_train_plugin_" + re.sub(r"\W", "_", path.stem)
    spec = spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = str(path)
    before = sys.modules.get(name)
    sys.modules[name] = module  # where dataclasses look for the names in annotations
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    # A plugin may end the program as well as fail.
    except (Exception, SystemExit) as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise ConfigError(printable(f"plugins: {path} fails{line_of(error, path)}: {reason(error)}")) from error
    return module


def line_of(error: BaseException, path: Path) -> str:
    """Say in which line of the file an error arose."""
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" in line {lines[-1]}" if lines else ""


def reason(error: BaseException) -> str:
    """Say in one line what an error is, with the way out where a package is missing."""
    first = str(error).partition("\n")[0]
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return f"there is no module '{error.name}'; install it, or put its code into the file, which stands alone"
    return f"{type(error).__name__}{': ' if first else ''}{first}"


def modules_of(module: ModuleType) -> dict[str, type[nn.Module]]:
    """Return the classes of a module that are modules of torch: its own, or those that its `__all__` lists."""
    listed = getattr(module, "__all__", None)
    found = {}
    for name, value in vars(module).items():
        if isinstance(value, type) and issubclass(value, nn.Module):
            own = value.__module__ == module.__name__ if listed is None else name in listed
            if own and not name.startswith("_"):
                found[name] = value
    return found


def is_name(name: str) -> bool:
    """Say whether a name can stand in the name of a folder."""
    return name.isascii()
