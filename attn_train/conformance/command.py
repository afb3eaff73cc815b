"""attn-check: look at a mechanism point by point, and say what it keeps, what limits it and what it is."""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from attn_train.attention import ATTENTION
from attn_train.conformance.finding import Finding, in_a_line
from attn_train.conformance.properties import PROPERTIES
from attn_train.conformance.requirements import REQUIREMENTS
from attn_train.conformance.subject import Subject
from attn_train.errors import ConfigError, ExpectationError
from attn_train.settings import options
from attn_train.settings.check import CheckSettings
from attn_train.writing.text import aligned, printable

Look = Callable[[Subject], Finding]


def main(config: CheckSettings) -> None:
    """Look at the mechanism that `config` names and print what is found; raise ExpectationError where it fails."""
    subject = subject_of(config)
    findings = look_at(subject)
    print(json.dumps(record(subject, findings)) if config.format == "json" else table(subject, findings), flush=True)
    failed = [finding.point for finding in findings if finding.verdict == "fails"]
    if failed:
        raise ExpectationError(f"{subject.name} fails: {', '.join(failed)}")


def subject_of(config: CheckSettings) -> Subject:
    """Return the mechanism to look at; raise ConfigError for a name or a setting that it does not have."""
    settings = {key: value for key, value in config.model.items() if key != "name"}
    name = config.model["name"]
    if name not in ATTENTION:
        raise ConfigError(f"unknown model '{name}'; choose from {', '.join(sorted(ATTENTION))}")
    options.bind("model", ATTENTION[name], settings)
    return Subject(name, settings, config.channels, (config.size, config.size))


def look_at(subject: Subject) -> list[Finding]:
    """Look at every point; at nothing further where the module cannot be made."""
    made = attempt(can_be_made, subject)
    if made.verdict == "fails":
        return [made]
    return [attempt(look, subject) for look in (*REQUIREMENTS, *PROPERTIES)]


def can_be_made(subject: Subject) -> Finding:
    subject.make()
    return Finding("made", "passes")


def attempt(look: Look, subject: Subject) -> Finding:
    """Look at a point; what raises fails, or, of a property, is not known."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a person's code; and torch's own of old traces
            return look(subject)
    except Exception as error:
        verdict = "not known" if look in PROPERTIES else "fails"
        return Finding(look.__name__.replace("_", " "), verdict, in_a_line(error))  # type: ignore[arg-type]


def table(subject: Subject, findings: list[Finding]) -> str:
    """Return the findings as a table, and a sentence that sums them up."""
    sections = []
    for title, verdicts in (
        ("must do", ("passes", "limited", "fails")),
        ("is", ("yes", "no", "measured", "not known")),
    ):
        rows = [
            ["  " + finding.point, finding.verdict if finding.verdict != "measured" else "", printable(finding.detail)]
            for finding in findings
            if finding.verdict in verdicts
        ]
        if rows:
            sections.append(f"what it {title}\n{aligned(rows, left=(0, 1, 2))}")
    return "\n".join([heading(subject), *sections, summary(findings)])


def heading(subject: Subject) -> str:
    settings = " ".join(f"{key}={value}" for key, value in subject.settings.items() if key != "code")
    height, width = subject.size
    return printable(f"{subject.name} {settings}".strip() + f" on maps of {subject.channels}x{height}x{width}")


def summary(findings: list[Finding]) -> str:
    """Say in a sentence how it went."""
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in ("passes", "limited", "fails")}
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    if counts["fails"]:
        return f"{told}: what fails gives wrong results in training"
    return f"{told}: it trains" + (", where its limits allow" if counts["limited"] else "")


def record(subject: Subject, findings: list[Finding]) -> dict[str, Any]:
    return {
        "model": {"name": subject.name, **subject.settings},
        "channels": subject.channels,
        "size": list(subject.size),
        "passed": all(finding.verdict != "fails" for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
