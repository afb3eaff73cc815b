"""attn-compare for scripts and papers: what is expected, what is printed, and results that were trained elsewhere."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from test_compare import compare, record, write_sweep

from attn_train.statistics.intervals import differences

LISTED = {"none": [93.1, 93.3, 93.0, 93.2, 93.4], "gated": [93.6, 93.9, 93.4, 93.7, 94.0]}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep")


def write_list(path: Path, extra: str = "") -> None:
    rows = [f"{arm},{seed},{at}" for arm, values in LISTED.items() for seed, at in enumerate(values)]
    path.write_text("\n".join(["arm,seed,accuracy", *rows]) + "\n" + extra)


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ("not_hurts", 0),
        ("helps", 7),
        ("gated:helps", 0),
        ("gated:helps;se:equivalent", 0),
        ("se:helps", 7),
        ("not_equivalent", 7),
        ("no_loss", 0),
        ("better", 2),
        ("eca:helps", 2),
    ],
)
def test_a_script_learns_by_the_exit_code_whether_it_is_as_expected(
    tmp_path: Path,
    sweep: Path,
    expected: str,
    code: int,
) -> None:
    ended = compare(tmp_path, "sweep", "output=out", f"expect={expected}")
    assert ended.code == code
    assert len(ended.err.splitlines()) == (code != 0)
    assert (tmp_path / "out" / "report.html").exists() == (code != 2)
    if code == 7:
        assert "se: equivalent" in ended.err


def test_what_is_undecided_may_be_a_loss(tmp_path: Path) -> None:
    rows = [("none", [93.1, 93.25, 93.01, 93.33, 93.18]), ("gated", [92.9, 93.6, 92.7, 93.5, 93.2])]
    lines = [f"{arm},{seed},{value}" for arm, values in rows for seed, value in enumerate(values)]
    (tmp_path / "runs.csv").write_text("\n".join(["arm,seed,accuracy", *lines]))
    for expected, margin, code in (("not_hurts", 0.2, 0), ("no_loss", 0.2, 7), ("no_loss", 3, 0)):
        assert compare(tmp_path, "runs.csv", "output=out", f"expect={expected}", f"margin={margin}").code == code


def test_a_doubt_meets_no_expectation(tmp_path: Path) -> None:
    write_list(tmp_path / "runs.csv", "gated,5,nan\n")
    assert compare(tmp_path, "runs.csv", "output=out", "expect=not_hurts").code == 7


@pytest.mark.parametrize("form", ["json", "csv", "markdown", "latex"])
def test_what_is_printed_has_nothing_else_in_it(tmp_path: Path, sweep: Path, form: str) -> None:
    ended = compare(tmp_path, "sweep", "output=out", f"format={form}")
    assert ended.code == 0, ended.err
    lines = ended.out.strip().splitlines()
    assert "out/report.html" in ended.err
    if form == "json":
        (line,) = lines
        told = {one["arm"]: one for one in json.loads(line)["comparisons"]}
        written = {one["arm"]: one for one in record(tmp_path / "out")["comparisons"]}
        assert {arm: one["mean"] for arm, one in told.items()} == {arm: one["mean"] for arm, one in written.items()}
    elif form == "csv":
        assert ended.out == (tmp_path / "out" / "compare.csv").read_text()
        assert [row["arm"] for row in csv.DictReader(io.StringIO(ended.out))] == ["none", "gated", "se"]
    elif form == "markdown":
        assert [line.split(" | ")[0] for line in lines] == [
            "| arm",
            "|---|---|---|---|---|---|---|---|---|",
            "| none",
            "| gated",
            "| se",
        ]
    else:
        assert lines[0].startswith(r"\begin{tabular}")
        assert {line.count("&") for line in lines if "&" in line} == {8}
        assert "gated & 5" in ended.out


def test_runs_of_elsewhere_are_compared_by_a_file(tmp_path: Path) -> None:
    write_list(tmp_path / "runs.csv")
    ended = compare(tmp_path, "runs.csv", "output=out")
    assert ended.code == 0, ended.err
    (found,) = record(tmp_path / "out")["comparisons"]
    (expected,) = differences(np.array([LISTED["none"], LISTED["gated"]]))
    assert found["p_value"] == pytest.approx(expected.p_value)
    assert found["mean"] == pytest.approx(np.mean(LISTED["gated"]) - np.mean(LISTED["none"]))
    assert found["verdict"] == "helps"
    assert "parameters" not in ended.out  # nothing is known of the cost


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("gated,six,93\n", "runs.csv:12: seed=six is no number"),
        ("gated,0.5,93\n", "runs.csv:12: seed=0.5 is no whole number"),
        ("gated,6,0.2 %\n", "runs.csv:12: accuracy=0.2 % is no number"),
        ("gated,6,9300\n", "runs.csv:12: accuracy=9300 is no share in per cent"),
        (",6,93\n", "runs.csv:12: the arm is empty"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, extra: str, named: str) -> None:
    write_list(tmp_path / "runs.csv", extra)
    ended = compare(tmp_path, "runs.csv")
    assert ended.code == 2
    assert named in ended.err


def test_a_file_without_a_head_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("none,0,93\n")
    ended = compare(tmp_path, "runs.csv")
    assert ended.code == 2
    assert "lacks the columns arm, seed, accuracy" in ended.err


def test_a_file_and_a_folder_are_not_compared(tmp_path: Path, sweep: Path) -> None:
    write_list(tmp_path / "runs.csv")
    ended = compare(tmp_path, "runs.csv", "sweep")
    assert ended.code == 2
    assert "compare them apart" in ended.err
