"""attn-study: round by round, a seed of every arm that waits for its verdict, until none does or the budget is
spent."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from attn_train.comparison.studied import FILE
from attn_train.comparison.summary import Summary
from attn_train.errors import ConfigError, Interrupted
from attn_train.machine.interrupt import stop_on_signals
from attn_train.runs.lock import locked
from attn_train.settings.compare import FIRST_LOOK
from attn_train.settings.study import StudySettings
from attn_train.study import page, report
from attn_train.study.plan import make_plan
from attn_train.study.rounds import Study
from attn_train.writing.best_effort import best_effort
from attn_train.writing.durable import write_utf8
from attn_train.writing.text import printable


def main(config: StudySettings, claim: Callable[[Path], object]) -> None:
    """Run the study that `config` describes, its ranges checked; `claim` makes its folder or raises.

    Stopped by a signal it raises Interrupted; the same settings again go on. Where runs failed it exits, at the end,
    with the exit code of the first one.
    """
    plan = make_plan(config)
    claim(plan.folder)
    with locked(plan.folder, wait=True), stop_on_signals() as stop:
        study = Study(plan, lambda: stop.signal is not None)
        save(study)
        introduce(study)
        why = go_on(study)
        save(study)
        summary, without = compare(study)
        words = {} if summary is None else page.doubted(summary)
        print(f"\n{report.table(study, words)}\n{report.note(study)}")
        if stop.signal is not None:
            raise Interrupted(f"stopped; the same command again goes on in {plan.folder}", 128 + stop.signal)
        print(f"ended: {why}; {len(study.ledger.results)} runs finished in {plan.folder}")
        if summary is None:
            print(printable(f"no report: {without}"), flush=True)
        else:
            with best_effort() as attempt, attempt("the report"):
                print(f"look at it in a browser: {page.write(summary, study)}", flush=True)
    finish(study)


def compare(study: Study) -> tuple[Summary | None, str]:
    """Return what attn-compare finds in the study's runs, or why it finds nothing."""
    why = "its runs cannot be compared"
    with best_effort() as attempt, attempt("the comparison of the runs"):
        try:
            return page.compare(study), ""
        except ConfigError as error:
            why = str(error)
    return None, why


def introduce(study: Study) -> None:
    """Say what the study is going to do, and how long that takes."""
    config, others, limit = study.config, study.others, study.measure.amount(study.plan.margin)
    print(f"study {study.plan.folder}: {', '.join(arm.label for arm in others)} against {study.baseline.label}")
    print(f"at most {config.max_seeds} seeds, verdicts from seed {FIRST_LOOK} on, margin {limit}")
    results = study.ledger.results
    if not results:
        print(report.foresight(study))
    done = f", {len(results)} of them done" if results else ""
    left = study.time_left(sum((study.baseline.label, seed) in results for seed in study.seeds))
    ahead = "how long they take, the first round tells" if left is None else f"{report.time_left(left)} to go"
    print(f"at most {config.max_seeds * len(others) + len(study.plan.all_seeds)} runs{done}; {ahead}", flush=True)


def go_on(study: Study) -> str:
    """Run round after round; return why there is no further one."""
    for number, seed in enumerate(study.seeds):
        runs = study.round(number)
        if not study.open_arms():
            break
        if not runs:
            continue
        if over := study.over_budget([arm for arm, _ in runs]):
            return over
        print(f"seed {seed} ({number + 1} of at most {study.config.max_seeds}):", end="", flush=True)
        for arm, own_seed in runs:
            if study.over_budget([arm]) or study.stopped():
                break
            report.print_run(study.run(arm, own_seed), study)
        if study.stopped():
            print()
            return "stopped"
        save(study)
        report.print_round(study, runs, number + 1)
    if study.open_arms():
        return f"all {study.config.max_seeds} seeds are done"
    undecided = [name for name, look in study.looks().items() if look.verdict == "undecided"]
    if not undecided:
        return "every verdict is in"
    dropped = f": {', '.join(study.dropped)} dropped" if study.dropped else ""
    return f"no arm is left that is likely to have a verdict{dropped}"


def save(study: Study) -> None:
    """Write study.json: the rule, and what is known."""
    looks = {
        name: {"verdict": look.verdict, "futile": look.futile}
        | (asdict(report.in_unit(look.difference, study.measure)) if look.difference else {})
        for name, look in study.looks().items()
    }
    text = json.dumps({"rule": study.plan.rule, "arms": looks}, indent=2) + "\n"
    write_utf8(study.plan.folder / FILE, text)


def finish(study: Study) -> None:
    """Say which runs failed, and exit with the code of the first."""
    for name, why in study.dropped.items():
        print(printable(f"dropped: {name} failed twice in a row: {why}"))
    for row in study.failures:
        print(printable(f"failed: {row.arm} seed {row.seed}, exit code {row.exit_code}: {row.reason}"))
    if study.failures:
        sys.stdout.flush()
        sys.exit(study.failures[0].exit_code)
