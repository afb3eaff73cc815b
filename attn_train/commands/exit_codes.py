"""How every command ends: one line on stderr for what is expected to go wrong, and its exit code."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from attn_train import errors
from attn_train.machine import surroundings
from attn_train.machine.interrupt import end_on_signals
from attn_train.writing.text import Record, printable, printable_lines


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Turn what goes wrong inside into one line on stderr and an exit code; a traceback only for the unexpected."""
    surroundings.use_utf8()
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"  # as Hydra reads it
    # Hydra would print and exit by itself; asked for the full error, it hands the exception over.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # A notebook names a display that is not here.
    os.environ["MPLBACKEND"] = "agg"
    surroundings.name_user()
    surroundings.settle_temporary_files()
    # Whoever closes our output (| head) does not want to hear that a line could not be written.
    logging.raiseExceptions = False
    logging.setLogRecordFactory(Record)
    try:
        end_on_signals()
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except errors.Interrupted as stopped:
        print(printable(f"{command}: {stopped}"), file=sys.stderr)
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:
        print(f"{command}: stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        expected = errors.expected(error)
        if expected is None or wants_traceback:
            print(printable_lines("".join(traceback.format_exception(error))), end="", file=sys.stderr)
        if expected is None:
            print(printable(f"{command}: unexpected {type(error).__name__}: {error}"), file=sys.stderr)
            sys.exit(1)
        print(printable(f"{command}: {expected}"), file=sys.stderr)
        sys.exit(expected.exit_code)
