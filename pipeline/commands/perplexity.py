"""`doit perplexity recipe=NAME text=FILE`: how well a package predicts a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from doit.cmd_base import Command

from pipeline.commands.errors import FAILED, UsageError, leave, plain_errors

VARIABLES = ("text", "tokens", "threads")
_TOKENS = 8000


class Perplexity(Command):  # type: ignore[misc]  # doit has no types
    """Builds what is missing (told on standard error), then scores the text."""

    name = "perplexity"
    doc_purpose = "measure how well a recipe's package predicts a text"
    doc_usage = "recipe=NAME text=FILE [tokens=8000] [threads=N] [KEY.KEY=VALUE ...]"

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        from pipeline.bench.engine import BenchError
        from pipeline.commands.session import open_build
        from pipeline.commands.variables import given_variables, read_request, whole_number
        from pipeline.runtime import PackageError
        from pipeline.workers.progress import Progress

        with plain_errors():
            if pos_args:
                raise UsageError(
                    f"perplexity does not know '{pos_args[0]}': "
                    "`doit perplexity recipe=NAME text=FILE`"
                )
            request = read_request(given_variables(), VARIABLES)
            tokens = whole_number("tokens", request.own.get("tokens", str(_TOKENS)), 2)
            threads = request.own.get("threads")
            count = None if threads is None else whole_number("threads", threads, 1)
            text = _read(request.own.get("text"))
            build = open_build(request, "perplexity")
            progress = Progress(sys.stderr)
            try:
                folder = build.build_all(progress)
                result = _score(folder, text, tokens, count, progress)
            except (BenchError, PackageError) as error:
                leave(f"error: {error}", FAILED)
            finally:
                progress.close()
            print(result)
        return 0


def _read(path: str | None) -> str:
    if not path:
        raise UsageError("say which text: text=FILE, in UTF-8")
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"text={path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"text={path} is not text in UTF-8") from None


def _score(folder: Path, text: str, tokens: int, threads: int | None, progress: Any) -> str:
    from pipeline.bench.perplexity import perplexity, text_ids
    from pipeline.runtime import Package, Session

    package = Package(folder)
    ids = text_ids(package, text, tokens)
    progress.start("score")
    with Session(package, threads=threads) as session:
        result = perplexity(
            session,
            ids,
            progress=lambda done: progress.update("score", done / len(ids), f"{done} tokens"),
        )
    return (
        f"perplexity {result.value:.4f} of {result.predicted} tokens "
        f"in {result.windows} windows of {result.window}"
    )
