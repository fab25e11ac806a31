"""From a recipe to finished stages.

    recipe --stages_of--> Stage, Stage, ... --key--> hit: what the store has
                                                     miss: a worker runs it, the store keeps it

A key is the digest of everything a stage can see: its code, its options, the facts of the target
it declares, the *content* of what earlier stages made. `plan` says what differs, `lock` pins it.
"""

from pipeline.stages.build import Build
from pipeline.stages.errors import BuildError
from pipeline.stages.sources import SourceFile, Sources
from pipeline.stages.stage import Source, Stage

__all__ = ["Build", "BuildError", "Source", "SourceFile", "Sources", "Stage"]
