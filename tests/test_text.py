"""Names as text: what may stand on a terminal, in columns and in a log."""

import io
import logging
import unicodedata
from pathlib import Path

import pytest

from attn_train.writing.text import Record, aligned, columns, printable, printable_lines


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat", "cat"),
        ("a$\\frac$ <b> 100% {x}", "a$\\frac$ <b> 100% {x}"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202etac", "\\u202etac"),
        ("\u2066a\u2069\u200b\ufeff", "\\u2066a\\u2069\\u200b\\ufeff"),
        ("a\u2028b", "a\\u2028b"),
        ("\U000e0041", "\\U000e0041"),
        (b"caf\xe9".decode(errors="surrogateescape"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("naïve 犬 😀 ελ a\u0301", "naïve 犬 😀 ελ a\u0301"),
        ("山田\u3000太郎", "山田\u3000太郎"),  # a space of its own width is a space
    ],
)
def test_only_what_shows_is_left(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert printable(shown) == shown


def test_no_character_of_all_steers_a_terminal_or_cannot_be_encoded() -> None:
    everything = printable("".join(map(chr, range(0x11000))))
    everything.encode()
    assert not {unicodedata.category(one) for one in set(everything)} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_line_breaks_that_are_meant_stay() -> None:
    assert printable_lines("a\x1b\n\tb\n") == "a\\x1b\n\\tb\n"


def test_columns_hold_whatever_stands_in_them() -> None:
    rows = [["name", "n", "why"], ["犬", "10", "x"], ["a\u0301\x1b", "7", ""], ["dog", "100", "\n"]]
    assert aligned(rows, left=(0,)).split("\n") == [
        "name     n  why",
        "犬      10  x",
        "a\u0301\\x1b    7",
        "dog    100  \\n",
    ]
    assert [columns(word) for word in ("", "ab", "犬a", "e\u0301", "\uff46")] == [0, 2, 3, 1, 2]


def test_a_name_stays_within_its_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(stream)])
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Record)
    try:
        ours, other = logging.getLogger("attn_train.data"), logging.getLogger("elsewhere")
        ours.warning("%s: %d of %.1f, %s", Path("a\nb"), 3, 0.5, ValueError("\x1b[2J"))
        ours.warning("two\nlines of ours: 100 % \x07")
        ours.warning("%(key)s", {"key": "\x1b"})
        other.warning("%s", "two\nlines\x07")
        try:
            raise OSError("\x1b")
        except OSError:
            ours.exception("it failed:\n%s", "a\nb")
    finally:
        logging.setLogRecordFactory(before)
    lines = stream.getvalue().splitlines()
    assert lines[:6] == [
        "a\\nb: 3 of 0.5, \\x1b[2J",
        "two",
        "lines of ours: 100 % \\x07",
        "\\x1b",
        "two",
        "lines\\x07",
    ]
    assert lines[6:9] == ["it failed:", "a\\nb", "Traceback (most recent call last):"]
