"""The plugins of a command line: offered before its configuration is composed, kept in the folders of its runs."""

from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

from attn_train.settings import compose, words
from attn_train.writing.durable import write_durably

# The groups of entry points by which installed packages offer mechanisms and networks.
ENTRY_POINTS = ("attn_train.attention", "attn_train.backbones")
# Words that name files whose settings a command takes over, and what in them.
RUNS = ("run", "resume", "runs")


def offer(arguments: Sequence[str]) -> None:
    """Offer what the command line's `plugins=` names, and what is installed and mentioned on it, in the place of what
    an earlier command in this process was offered."""
    files = words.listed_paths("plugins", arguments)
    if not files and not any(entry_points(group=group) for group in ENTRY_POINTS) and not compose.PLUGINS.offered:
        compose.offer([], {})
        return
    from attn_train.plugins import offered

    compose.offer(files, offered.offer(files, [*arguments, *contents(arguments)]))


def contents(arguments: Sequence[str]) -> list[str]:
    """Return the texts of the configurations that a command line names: YAML files, and runs."""
    paths = [Path(word) for word in arguments if word.endswith((".yaml", ".yml"))]
    paths += [Path(folder, "config.yaml") for name in RUNS for folder in words.listed_paths(name, arguments)]
    texts = []
    for path in paths:
        try:
            texts.append(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # whoever reads it for itself says what is wrong with it
    return texts


def offer_again(composed: Any) -> None:
    """Offer a composed job's plugins in a process that a launcher started, where nothing was offered yet."""
    files = list(composed.plugins)
    from attn_train.plugins import offered

    if not offered.is_offered():
        offered.offer(files, [str(composed.model.name), str(composed.backbone.name)])


def keep(files: Sequence[str], folder: Path) -> None:
    """Copy the plugins of a run into its folder."""
    for file in map(Path, files):
        target = folder / "plugins" / file.name
        content = file.read_bytes()
        if target.exists() and target.read_bytes() == content:
            continue
        target.parent.mkdir(exist_ok=True)
        write_durably(target, writer(content))


def writer(content: bytes) -> Callable[[IO[bytes]], object]:
    return lambda stream: stream.write(content)
