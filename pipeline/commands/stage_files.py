"""What a stage of a build made, as things are now: the names and the texts of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.commands.errors import UsageError

if TYPE_CHECKING:
    from pipeline.stages.build import Build
    from pipeline.store import Tree


class StageFiles:
    """The files of one stage.

    Raises UsageError if there is no such stage, BuildError if it has not run.
    """

    def __init__(self, build: Build, stage: str | None) -> None:
        names = [one.name for one in build.stages]
        if stage not in names:
            which = "say which stage" if stage is None else f"unknown stage '{stage}'"
            raise UsageError(f"{which}: stage=NAME, one of {', '.join(names)}")
        self.build, self.stage = build, build.stage(stage)
        self._tree = self._find()
        self.names = sorted(self._tree.files)

    def _find(self) -> Tree:
        from pipeline.stages.errors import BuildError, Unknown

        build = self.build
        try:
            row = build.find(self.stage, fetch=False)
        except Unknown:
            row = None
        tree = None if row is None else build.store.tree(row.output)
        if tree is None:
            raise BuildError(
                f"{self.stage.name} has not run as things are now: `doit build "
                f"recipe={build.recipe}` with the same overrides runs it"
            )
        return tree

    def text(self, name: str) -> str:
        """The text of a file.

        Raises BuildError if it is none, or damaged.
        """
        from pipeline.stages.errors import BuildError

        data = self.build.store.blobs.read(self._tree.files[name].digest)
        if data is None:
            raise BuildError(f"{name} is damaged in the store: run the build again")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise BuildError(f"{name} is not text") from None
