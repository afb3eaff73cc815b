"""Print names safely: whatever a class, a file or an arm is called, no terminal and no table is garbled."""

import logging
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import PurePath


def printable(text: str) -> str:
    """Return `text` with escapes, like `\\n`, `\\x1b` or `\\xe9`, for all that a terminal does not show as a letter:
    control characters, and bytes that are no UTF-8."""
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else escaped(letter) for letter in text
    )


def escaped(character: str) -> str:
    """Return the escape of a character."""
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte of a file's name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def printable_lines(text: str) -> str:
    """Return `text` as `printable` does, its line breaks kept."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int) -> str:
    """Cut `text` to at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes: Chinese letters two, combining marks none."""
    return sum(
        0 if unicodedata.category(letter) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """Lay out rows of words in columns: flush left those whose numbers are in `left` and the last, the others right."""
    shown = [[printable(word) for word in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*shown, strict=True)]
    last = len(widths) - 1
    lines = []
    for row in shown:
        words = []
        for place, (word, width) in enumerate(zip(row, widths, strict=True)):
            room = " " * (width - columns(word))
            words.append(word + room if place in left or place == last else room + word)
        lines.append("  ".join(words).rstrip())
    return "\n".join(lines)


class Record(logging.LogRecord):
    """A log record in which no argument of this program's messages, whatever name it is, breaks the line."""

    def getMessage(self) -> str:  # noqa: N802
        if not self.name.startswith("attn_train") or not isinstance(self.args, tuple):
            return printable_lines(super().getMessage())
        shown = (printable(str(arg)) if isinstance(arg, str | PurePath | BaseException) else arg for arg in self.args)
        return printable_lines(str(self.msg) % tuple(shown) if self.args else str(self.msg))
