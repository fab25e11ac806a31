"""`python -m pipeline.runtime FOLDER --prompt TEXT`: the new text alone, as it comes.

Standard output holds nothing but the text and a final newline; errors and notes go to standard
error. Exit codes: 0 done, 1 the package or the prompt cannot be used, 2 wrong usage, 130 stopped
with Ctrl-C, 141 the reader of the output went away.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import PackageError
from .package import Package
from .session import Session, Settings


def main(
    arguments: Sequence[str] | None = None,
    *,
    program: str = "python -m pipeline.runtime",
    folder: Path | None = None,
) -> int:
    """Runs the command line; gives the exit code. `folder` fixes the package, as a wheel does."""
    options = _parser(program, folder).parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal without Unicode shows a question mark rather than ending the program.
        sys.stdout.reconfigure(errors="replace")
    try:
        return _generate(options.folder if folder is None else folder, options)
    except PackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The interpreter flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _generate(folder: Path, options: argparse.Namespace) -> int:
    settings = Settings()
    for key in ("tokens", "temperature", "top_k", "top_p", "seed"):
        if getattr(options, key) is not None:
            settings[key] = getattr(options, key)
    with Session(Package(folder), threads=options.threads) as session:
        if options.chat is not None:
            pieces = session.chat(options.chat, **settings)
        else:
            pieces = session.generate(options.prompt, **settings)
        try:
            for piece in pieces:
                sys.stdout.write(piece)
                sys.stdout.flush()
        finally:
            # Also after Ctrl-C, so that what the shell prints next starts on its own line.
            sys.stdout.write("\n")
            sys.stdout.flush()
        if session.finish == "capacity":
            print(
                f"note: the cache is full ({session.package.manifest.capacity} tokens), so the "
                "text ends here; build the package with a larger shapes.past.max for more",
                file=sys.stderr,
            )
    return 0


def _parser(program: str, folder: Path | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Generates text with a package.")
    if folder is None:
        parser.add_argument("folder", type=Path, help="the package folder")
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--prompt", metavar="TEXT", help="text to continue, as it is")
    text.add_argument("--chat", metavar="TEXT", help="a user's message, in the model's chat form")
    parser.add_argument("--tokens", type=int, metavar="N", help="at most so many new tokens")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 takes the likeliest")
    parser.add_argument("--top-k", type=int, metavar="K", help="draw among the K likeliest")
    parser.add_argument(
        "--top-p",
        type=float,
        metavar="P",
        help="draw among the likeliest that together have probability P",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="seed of the draws")
    parser.add_argument("--threads", type=int, metavar="N", help="default: all usable CPUs")
    return parser
