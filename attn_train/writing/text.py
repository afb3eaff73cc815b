"""Names as plain text: a class, a file or an arm may be called anything, and no name steers a terminal or a table."""

import logging
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import PurePath


def printable(text: str) -> str:
    """Return `text` with all that a terminal would not show as a letter (control characters, bytes that are no UTF-8)
    written out, like `\\n`, `\\x1b` or `\\xe9`."""
    return "".join(one if one.isprintable() or unicodedata.category(one) == "Zs" else written_out(one) for one in text)


def written_out(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte of a file's name that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def printable_lines(text: str) -> str:
    """Return `text` as `printable` does, its line breaks kept."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def columns(text: str) -> int:
    """Return how many columns of a terminal `text` takes: Chinese letters two, combining marks none."""
    return sum(
        0 if unicodedata.category(one) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> str:
    """Lay out rows of words in columns, those in `left` and the last flush left, the others right."""
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
    """A log record whose names, the arguments of this program's messages, stay within their line, whatever they are."""

    def getMessage(self) -> str:  # noqa: N802
        if not self.name.startswith("attn_train") or not isinstance(self.args, tuple):
            return printable_lines(super().getMessage())
        shown = (printable(str(one)) if isinstance(one, str | PurePath | BaseException) else one for one in self.args)
        return printable_lines(str(self.msg) % tuple(shown) if self.args else str(self.msg))
