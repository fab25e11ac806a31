"""Errors as a user sees them: a sentence on standard error and an exit code, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

FAILED = 1
USAGE = 3
INTERRUPTED = 130


class UsageError(Exception):
    """The command line asks for something that does not exist or cannot be."""


@contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the process with a message and the right exit code where the block fails in a way that
    a user can do something about: 3 before anything ran, 1 for a failed build, 130 for Ctrl-C."""
    from pipeline.recipe import RecipeError
    from pipeline.stages.build import PLAIN_ERRORS

    try:
        yield
    except UsageError as error:
        leave(f"error: {error}", USAGE)
    except RecipeError as error:
        leave(str(error), USAGE)
    except PLAIN_ERRORS as error:
        leave(f"error: {error}", FAILED)
    except KeyboardInterrupt:
        leave("interrupted; finished stages are kept", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`doit list | head -1`), and Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def leave(message: str, code: int) -> NoReturn:
    """Says why and ends the process."""
    sys.stdout.flush()
    if code == INTERRUPTED and sys.stderr.isatty():
        print(file=sys.stderr)  # the terminal has just echoed ^C behind the progress
    print(message, file=sys.stderr)
    sys.exit(code)
