"""Which corruptions a command line asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attn_train.errors import ConfigError
from attn_train.robust.corruptions import CORRUPTIONS, EXTRA, MAIN_GROUPS, check_severity, of_group
from attn_train.settings import words

WORDS = ("corruptions", "severity", "corruptions_root", "corruptions_seed")


@dataclass(frozen=True)
class Request:
    """Which corruptions are asked for."""

    names: tuple[str, ...]
    severities: tuple[int, ...]
    seed: int
    root: Path | None  # of the published arrays; None: they are made


def request(asked: Mapping[str, str]) -> Request:
    """Read the words of a command line, by name; raise ConfigError for what is wrong with them."""
    names: list[str] = []
    is_official = asked["corruptions"] == "official"
    for name in listed("corruptions", asked["corruptions"]):
        if name in (*MAIN_GROUPS, EXTRA):
            names += of_group(name)
        elif name == "all" or is_official:
            names += CORRUPTIONS
        elif name in CORRUPTIONS:
            names.append(name)
        else:
            choices = ", ".join(["all", "official", *MAIN_GROUPS, EXTRA, *CORRUPTIONS])
            raise ConfigError(f"corruptions={name} is not a choice; choose from {choices}")
    severities = listed("severity", asked.get("severity", "[1,2,3,4,5]"))
    for severity in severities:
        check_severity(severity)
    seed = asked.get("corruptions_seed", "0")
    if not seed.isdecimal():
        raise ConfigError(f"corruptions_seed={seed}: expected a whole number from 0 on")
    root = None
    if "corruptions_root" in asked:
        root = Path(words.path_of("corruptions_root", asked["corruptions_root"]))
    if is_official != (root is not None):
        raise ConfigError(
            "corruptions=official and corruptions_root=DIR, the folder of the published arrays, go together; "
            "corruptions=all makes images instead"
        )
    if is_official and "corruptions_seed" in asked:
        raise ConfigError(f"corruptions_seed={seed}: the published arrays are as they are; leave it out")
    unique = [name for name in CORRUPTIONS if name in names]
    return Request(tuple(unique), tuple(sorted({int(each) for each in severities})), int(seed), root)


def listed(key: str, value: str) -> list[str]:
    """Return the entries of a list, whether its brackets are given or not."""
    words.check_given(key, value.strip("[], "))
    return [each.strip() for each in value.strip("[] ").split(",")]
