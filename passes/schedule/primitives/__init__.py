"""Schedule primitives, one a file: a pure function from a loop function to a better one.

Each checks its own legality and raises ScheduleError naming the precondition that fails.
"""

from passes.schedule.primitives.cache_write import cache_write
from passes.schedule.primitives.compute_at import compute_at
from passes.schedule.primitives.compute_inline import compute_inline
from passes.schedule.primitives.decompose_reduction import decompose_reduction
from passes.schedule.primitives.fuse import fuse
from passes.schedule.primitives.loop_kind import parallel, unroll, vectorize
from passes.schedule.primitives.loop_partition import loop_partition
from passes.schedule.primitives.merge import merge
from passes.schedule.primitives.reindex_cache_read import reindex_cache_read
from passes.schedule.primitives.reorder import reorder
from passes.schedule.primitives.rfactor import rfactor
from passes.schedule.primitives.set_scope import set_scope
from passes.schedule.primitives.split import split
from passes.schedule.primitives.tensorize import tensorize
from passes.schedule.primitives.transform_layout import IndexMap, transform_layout

__all__ = [
    "IndexMap",
    "cache_write",
    "compute_at",
    "compute_inline",
    "decompose_reduction",
    "fuse",
    "loop_partition",
    "merge",
    "parallel",
    "reindex_cache_read",
    "reorder",
    "rfactor",
    "set_scope",
    "split",
    "tensorize",
    "transform_layout",
    "unroll",
    "vectorize",
]
