"""Quotes: for the grammar in which Hydra reads a command line, and for the shell that it is pasted into."""

import os
import re
import shlex
import sys
from pathlib import Path

QUOTES = "'\""
OPENERS = ("", " ", "=", ":", "[", "{", "(", ",")  # what may stand before an opening quotation mark
KEYWORDS = ("null", "true", "false", "nan", "inf")


def is_plain(text: str) -> bool:
    """Say whether the grammar of a command line reads `text` as itself, without quotes."""
    return bool(re.fullmatch(r"[A-Za-z_/.][A-Za-z0-9_/.-]*", text)) and text.lower() not in KEYWORDS


def quoted(text: str, mark: str = '"') -> str:
    """Put a text in quotation marks, as the grammar of a command line reads them."""
    # Backslashes count only before a mark, the closing one included.
    escaped = re.sub(rf"(\\*){mark}", lambda match: 2 * match.group(1) + "\\" + mark, text)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return f"{mark}{escaped}{trailing * chr(92)}{mark}"


def split(listed: str) -> list[str]:
    """Split at the commas that stand in no quotes and no brackets."""
    parts, depth, quote = [""], 0, ""
    for letter in listed:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in QUOTES and parts[-1][-1:] in OPENERS:  # not an apostrophe
            quote = letter
        else:
            depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def setting(name: str, path: Path) -> str:
    """Write `name`=`path` as a word of a command line, quoted so that Hydra reads exactly this path."""
    return f"{name}={path_value(path)}"


def path_value(path: Path) -> str:
    """Write a path as a value, alone or in a list, quoted so that Hydra reads exactly this path."""
    text = path_word(path)
    # ${...} would be resolved; a backslash counts only before it.
    literal = re.sub(r"(\\*)\$\{", lambda match: 2 * match.group(1) + r"\${", text)
    return text if is_plain(text) else quoted(literal)


def path_word(path: Path) -> str:
    """Write a path as a word that no shell or parser takes for an option or expands."""
    text = str(path)
    return f"./{text}" if text.startswith(("-", "~", "=")) else text


def pasted(*words: str | Path) -> str:
    """Join the words of a command, quoted so that bash and zsh pass exactly these words."""
    return " ".join(shell_word(path_word(word) if isinstance(word, Path) else word) for word in words)


def is_shown(word: str) -> bool:
    """Say whether standard output can encode all letters of a word."""
    try:
        word.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shell_word(word: str) -> str:
    """Quote one word for bash and zsh; bytes that no terminal can show become escapes."""
    if word.isprintable() and is_shown(word):
        # zsh takes =NAME for the path of a command.
        return f"'{word}'" if shlex.quote(word) == word and word.startswith("=") else shlex.quote(word)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"
