"""One build of one recipe: which stages the store has, running those it has not, the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.stages.code import CodeError, CodeIndex
from pipeline.stages.errors import BuildError, Unknown
from pipeline.stages.keys import differences, key_of, own_material, stage_code
from pipeline.stages.lock import (
    LockError,
    drift,
    drift_message,
    lock_facts,
    read_lock,
    render_lock,
    write_lock,
)
from pipeline.stages.package import Package
from pipeline.stages.sources import Sources
from pipeline.stages.stage import Stage, in_order
from pipeline.store import Row, Store, StoreError, Tree
from pipeline.store.digest import is_digest
from pipeline.store.errors import plain_os_errors
from pipeline.workers.process import WorkerError, run_worker
from pipeline.workers.progress import Progress

PLAIN_ERRORS = (BuildError, CodeError, LockError, StoreError, WorkerError)


def tell(stage: str, error: Exception) -> str:
    """A plain error as a build tells it: with the stage, unless it is about the whole recipe."""
    return str(error) if isinstance(error, LockError) else f"{stage}: {error}"


@dataclass
class Build:
    """The state of one build in one process; the store outlives it.

    `stages` may be any graph; the package is made of the last one. `roots` is where project
    modules are found. `name` names the build's folder, `recipe` the recipe it came from: they
    differ where values are overridden, and such a build leaves the lock file alone.
    """

    name: str
    recipe: str
    stages: Sequence[Stage]
    store: Store
    roots: Sequence[Path]
    sources: Sources
    package: Package
    lock_path: Path
    locked: bool = False
    force: bool = False
    code: CodeIndex = field(init=False)
    _rows: dict[str, Row] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.stages = in_order(self.stages)
        self.code = CodeIndex(self.roots, self.store.root / "code.json")

    @property
    def overridden(self) -> bool:
        """Whether this is a variation of the recipe, built beside it."""
        return self.name != self.recipe

    def stage(self, name: str) -> Stage:
        """The stage of a name."""
        return next(stage for stage in self.stages if stage.name == name)

    # What is known

    def material(self, stage: Stage, *, fetch: bool = True) -> dict[str, Any]:
        """All that the stage's result depends on.

        Raises Unknown if an earlier stage has to run first or, without `fetch`, if a source is
        neither pinned nor here; CodeError, BuildError.
        """
        return own_material(stage, self.code) | {
            "sources": {
                name: self.sources.digest(source, fetch=fetch)
                for name, source in stage.sources.items()
            },
            "inputs": {need: self._row_of(need, fetch=fetch).output for need in stage.needs},
        }

    def find(self, stage: Stage, *, fetch: bool = True) -> Row | None:
        """What the store has for this stage as things are now; None if it has to run.

        Raises as `material` does.
        """
        if stage.name not in self._rows:
            row = self.store.find(key_of(self.material(stage, fetch=fetch)))
            if row is None:
                return None
            self._rows[stage.name] = row
        return self._rows[stage.name]

    def _row_of(self, name: str, *, fetch: bool) -> Row:
        row = self.find(self.stage(name), fetch=fetch)
        if row is None:
            raise Unknown(f"{name} has run")
        return row

    # The lock

    def check_lock(self) -> None:
        """With `locked`, compares everything known so far with the lock file.

        Raises LockError where it differs.
        """
        if not self.locked:
            return
        locked = read_lock(self.lock_path, self.recipe)
        lines = drift(locked, self._facts())
        if lines:
            lines += self._changed_modules(locked)
            raise LockError(drift_message(self.lock_path, self.recipe, lines))

    def _changed_modules(self, locked: Mapping[str, Any]) -> list[str]:
        """Which modules differ from the locked build, where the store still knows that build."""
        lines = []
        for stage in self.stages:
            entry = locked["stages"].get(stage.name)
            key = entry.get("key") if isinstance(entry, Mapping) else None
            row = self.store.ledger.read(str(key)) if is_digest(key) else None
            if row is not None:
                now = own_material(stage, self.code)
                before = {"code": row.material["code"]}
                found = differences(before, {"code": now["code"]})
                lines += [f"stages.{stage.name}.{line}" for line in found]
        return lines

    def _facts(self) -> dict[str, Any]:
        known = []
        for stage in self.stages:
            material = own_material(stage, self.code)
            known.append(material | {"sources": self.sources.known(stage.sources)})
        results = {name: (row.key, row.output) for name, row in self._rows.items()}
        return lock_facts(self.recipe, known, results)

    def lock_text(self) -> str:
        """The lock file of this build; every stage has to be found or run before."""
        return render_lock(self.recipe, self._facts())

    # Running

    def is_done(self, name: str) -> bool:
        """Whether the store has this stage and nothing stands against using it.

        Never raises: an error is met again, and told, by `run`.
        """
        if self.force:
            return False
        try:
            self.check_lock()
            row = self.find(self.stage(name))
            if row is None:
                return False
            self.store.ledger.see(self.name, name, row.key)
            self.check_lock()
        except (Unknown, *PLAIN_ERRORS):
            return False
        return True

    def run(self, name: str, progress: Progress) -> Row:
        """Makes one stage's result, or takes it from a build that made it meanwhile.

        Raises one of PLAIN_ERRORS.
        """
        self.check_lock()
        stage = self.stage(name)
        for need in stage.needs:
            self._restore(need, progress)
        material = self.material(stage)
        key = key_of(material)
        with self.store.lock(key, lambda: progress.note(name, "another build is at it: waiting")):
            row = None if self.force else self.store.find(key)
            if row is None:
                row = self._work(stage, material, key, progress)
            else:
                progress.hit(name)
        self._rows[name] = row
        self.store.ledger.see(self.name, name, key)
        self.code.save()
        self.check_lock()
        return row

    def _restore(self, need: str, progress: Progress) -> None:
        """Runs an earlier stage again whose result is damaged: a stage is about to read it all."""
        try:
            row = self._row_of(need, fetch=True)
        except Unknown as unknown:
            raise BuildError(f"wait until {unknown}: build the whole recipe") from unknown
        if not self.store.intact(row.output, full=True):
            self.store.drop_damaged(row.output)
            del self._rows[need]
            self.run(need, progress)

    def _work(self, stage: Stage, material: Mapping[str, Any], key: str, progress: Progress) -> Row:
        with self.store.workspace(key) as folder:
            inputs = {need: folder / "in" / need for need in stage.needs}
            for need, path in inputs.items():
                self.store.materialise(self._rows[need].output, path)
            sources = {name: self.sources.file(s).path for name, s in stage.sources.items()}
            out = folder / "out"
            with plain_os_errors(f"making {out}"):
                out.mkdir()
            progress.start(stage.name)
            usage = run_worker(
                stage.entry,
                arguments={"options": dict(stage.options), "target": dict(stage.target)},
                paths={"inputs": inputs, "sources": sources, "out": out},
                folder=folder,
                roots=self.roots,
                progress=lambda done, text: progress.update(stage.name, done, text),
                log=self.store.root / "logs" / f"{self.name}-{stage.name}.log",
                bytecode=self.store.root / "bytecode",
            )
            self._check_covered(stage, material, usage.modules)
            self._check_unchanged(stage, material)
            tree = self.store.commit(out)
        self._check_same(stage, key, tree)
        row = Row(
            key, material, tree.digest, len(tree.files), tree.size, usage.seconds, usage.peak_bytes
        )
        self.store.ledger.write(row)
        progress.done(stage.name, usage.seconds, tree.size, usage.peak_bytes)
        return row

    @staticmethod
    def _check_covered(stage: Stage, material: Mapping[str, Any], ran: Sequence[str]) -> None:
        """What ran is in the key, also what was imported by a name that no analysis can see."""
        unseen = sorted(set(ran) - material["code"].keys())
        if unseen:
            raise BuildError(
                f"{stage.entry} ran {', '.join(unseen[:3])}, which its key does not cover: import "
                "it by a plain import or name the plugin group it comes from in the stage"
            )

    def _check_unchanged(self, stage: Stage, material: Mapping[str, Any]) -> None:
        """A result is kept under a key only if what the key says was so until the stage ended."""
        fresh = CodeIndex(self.roots, self.store.root / "code.json")
        now = stage_code(stage, fresh).modules
        changed = [name for name, digest in material["code"].items() if now.get(name) != digest]
        changed += [s.source for s in stage.sources.values() if not self.sources.is_unchanged(s)]
        if changed:
            raise BuildError(
                f"{', '.join(changed[:3])} changed while the stage ran: run the build again"
            )

    def _check_same(self, stage: Stage, key: str, tree: Tree) -> None:
        """The law: the same key gives the same bytes. Only a stage that ran again can break it;
        where its former result is lost there is nothing left to protect."""
        before = self.store.ledger.read(key)
        if before is None or before.output == tree.digest:
            return
        old = self.store.tree(before.output)
        if old is None or not self.store.intact(before.output):
            return
        files = old.files
        names = sorted(
            name
            for name in files.keys() | tree.files.keys()
            if files.get(name) != tree.files.get(name)
        )
        raise BuildError(
            f"the same key gave other bytes than before, in {', '.join(names[:5])}: "
            f"{stage.entry} depends on something that it does not declare "
            "(a clock, the environment, the order of a set)"
        )

    # The package

    def is_packaged(self) -> bool:
        """Whether the package's folder and the lock file are what this build gives.

        Never raises, as `is_done`.
        """
        if self.force:
            return False
        try:
            row = self.find(self.stages[-1])
            if row is None or not self.package.is_current(row.output, self.code):
                return False
            return self.overridden or self.locked or self._lock_is_current()
        except (Unknown, OSError, *PLAIN_ERRORS):
            return False

    def _lock_is_current(self) -> bool:
        return self.lock_path.read_bytes() == self.lock_text().encode()

    def make_package(self, progress: Progress) -> None:
        """Writes the package's folder, links it, and updates the lock file.

        Raises one of PLAIN_ERRORS.
        """
        self.check_lock()
        last = self.stages[-1].name
        self._restore(last, progress)
        row = self._rows[last]
        if self.force or not self.package.is_current(row.output, self.code):
            self.package.make(row.output, self.code, self.roots, progress)
        if not self.overridden and not self.locked:
            write_lock(self.lock_path, self.lock_text())
        self.code.save()

    def make_stage(self, last: str, folder: Path, progress: Progress) -> None:
        """What a stage gives, copied into a folder that is not there yet; all before it is made.

        Raises BuildError, which names the stage.
        """
        name = ""
        try:
            for stage in self.stages:
                name = stage.name
                if not self.is_done(name):
                    self.run(name, progress)
                if name == last:
                    break
            self.store.materialise(self._rows[last].output, folder)
        except PLAIN_ERRORS as error:
            raise BuildError(tell(name, error)) from error

    def build_all(self, progress: Progress) -> Path:
        """Everything that is missing, in order; gives the package's folder.

        Raises BuildError, which names the stage, or LockError.
        """
        name = ""
        try:
            for stage in self.stages:
                name = stage.name
                if not self.is_done(name):
                    self.run(name, progress)
            name = "link"
            if not self.is_packaged():
                self.make_package(progress)
        except LockError:
            raise
        except PLAIN_ERRORS as error:
            raise BuildError(tell(name, error)) from error
        return self.package.folder
