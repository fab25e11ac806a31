"""The code closure of a stage: all project modules its entry can import, and what they stand on.

"passes.fuse.stage:run" -> {"passes": "b3:..", "passes.fuse.stage": "b3:..", ...},
                           {"numpy": "2.4.6"}
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from pipeline.stages.module import ModuleFacts, module_facts
from pipeline.store.digest import canonical_json
from pipeline.store.errors import plain_os_errors
from pipeline.store.files import write_atomic

# Raise it when the meaning of ModuleFacts changes: facts on disk are then read anew.
_MEMO_SCHEMA = 1
# A file younger than this may change again within one tick of its clock (as git's racy entries).
_SETTLED_NS = 2 * 10**9


class CodeError(Exception):
    """A stage's code cannot be found or read."""


@dataclass(frozen=True)
class Closure:
    """`modules`: project module -> digest; `distributions`: third-party distribution -> version."""

    modules: Mapping[str, str]
    distributions: Mapping[str, str]


class CodeIndex:
    """Closures over the modules below some roots, with the facts of each file kept on disk."""

    def __init__(self, roots: Sequence[Path], memo: Path) -> None:
        self.roots = tuple(roots)
        self._memo_path = memo
        self._memo = self._load()
        self._fresh = False
        self._located: dict[str, tuple[Path, bool] | None] = {}
        self._closures: dict[str, Closure] = {}

    def _load(self) -> dict[str, list[object]]:
        try:
            data = json.loads(self._memo_path.read_bytes())
        except (OSError, ValueError):
            return {}
        good = isinstance(data, dict) and data.get("tag") == self._tag
        files = data["files"] if good else {}
        return files if isinstance(files, dict) else {}

    @property
    def _tag(self) -> str:
        return f"{_MEMO_SCHEMA} {sys.implementation.cache_tag}"

    def save(self) -> None:
        """Keeps what was learnt for the next process."""
        if self._fresh:
            with plain_os_errors(f"writing {self._memo_path}"):
                text = canonical_json({"tag": self._tag, "files": self._memo})
                write_atomic(self._memo_path, text)
            self._fresh = False

    def closure(self, entry: str) -> Closure:
        """The code reachable from an entry ("module:function") by imports, also those inside
        functions. An entry of another distribution has no modules of ours, only that version.

        Raises CodeError if the module or one of its imports cannot be found or read.
        """
        start = entry.partition(":")[0]
        if start not in self._closures:
            self._closures[start] = self._walk(start)
        return self._closures[start]

    def _walk(self, start: str) -> Closure:
        if self._is_ours(start.partition(".")[0]) and self._locate(start) is None:
            places = ", ".join(str(root) for root in self.roots)
            raise CodeError(f"there is no module {start} below {places}")
        modules: dict[str, str] = {}
        outside: set[str] = set()
        work = [start]
        while work:
            name = work.pop()
            top = name.partition(".")[0]
            if not self._is_ours(top):
                if top not in sys.stdlib_module_names:
                    outside.add(top)
                continue
            # Importing a.b.c runs a and a.b first; what is no module is a name inside one.
            for end in range(1, name.count(".") + 2):
                part = ".".join(name.split(".")[:end])
                found = self._locate(part)
                if found is not None and part not in modules:
                    facts = self._facts(part, *found)
                    modules[part] = facts.digest
                    work += facts.imports
                    work += [m for m in facts.mentions if self._is_ours(m.partition(".")[0])]
        versions: dict[str, str] = {}
        for top in outside:
            versions |= self.versions(self._distributions.get(top, [top]))
        return Closure(dict(sorted(modules.items())), dict(sorted(versions.items())))

    @cached_property
    def _distributions(self) -> Mapping[str, list[str]]:
        return metadata.packages_distributions()

    @staticmethod
    def versions(distributions: Sequence[str]) -> dict[str, str]:
        """The installed version of each distribution, "absent" where there is none."""
        found: dict[str, str] = {}
        for name in distributions:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = "absent"
        return found

    def _is_ours(self, top: str) -> bool:
        return self._locate(top) is not None or any((root / top).is_dir() for root in self.roots)

    def _locate(self, module: str) -> tuple[Path, bool] | None:
        """The file of a project module and whether it is a package; None if it is not ours."""
        if module not in self._located:
            self._located[module] = self._search(module)
        return self._located[module]

    def _search(self, module: str) -> tuple[Path, bool] | None:
        for root in self.roots:
            path = root.joinpath(*module.split("."))
            if (path / "__init__.py").is_file():
                return path / "__init__.py", True
            if path.with_name(path.name + ".py").is_file():
                return path.with_name(path.name + ".py"), False
        return None

    def _facts(self, module: str, path: Path, is_package: bool) -> ModuleFacts:
        place = str(path)
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ino]
            match self._memo.get(place):
                case [known, str(digest), [*imports], [*mentions]] if known == stamp:
                    return ModuleFacts(digest, tuple(map(str, imports)), tuple(map(str, mentions)))
            facts = module_facts(path.read_bytes(), module, is_package=is_package)
        except OSError as error:
            raise CodeError(f"{path}: {error.strerror}") from error
        except (SyntaxError, ValueError, RecursionError) as error:
            line = getattr(error, "lineno", None)
            raise CodeError(f"{path}{f':{line}' if line else ''}: {error}") from error
        if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
            self._memo[place] = [stamp, facts.digest, [*facts.imports], [*facts.mentions]]
            self._fresh = True
        return facts
