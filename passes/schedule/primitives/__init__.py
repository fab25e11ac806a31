"""Schedule primitives, one a file: a pure function from a loop function to a better one.

Each checks its own legality and raises ScheduleError naming the precondition that fails.
"""

from passes.schedule.primitives.add_unit_loop import add_unit_loop
from passes.schedule.primitives.annotate import annotate, unannotate
from passes.schedule.primitives.bind import bind
from passes.schedule.primitives.blockize import blockize
from passes.schedule.primitives.cache_index import cache_index
from passes.schedule.primitives.cache_read import cache_read
from passes.schedule.primitives.cache_write import cache_write
from passes.schedule.primitives.compute_at import compute_at
from passes.schedule.primitives.compute_inline import compute_inline
from passes.schedule.primitives.decompose_padding import decompose_padding
from passes.schedule.primitives.decompose_reduction import decompose_reduction
from passes.schedule.primitives.fuse import fuse
from passes.schedule.primitives.fuse_reduction_epilogue import fuse_reduction_epilogue
from passes.schedule.primitives.loop_partition import loop_partition
from passes.schedule.primitives.merge import merge
from passes.schedule.primitives.pad_einsum import pad_einsum
from passes.schedule.primitives.parallel import parallel
from passes.schedule.primitives.place import place
from passes.schedule.primitives.reindex import Access, reindex
from passes.schedule.primitives.reindex_cache_read import reindex_cache_read
from passes.schedule.primitives.reindex_cache_write import reindex_cache_write
from passes.schedule.primitives.reorder import reorder
from passes.schedule.primitives.reverse_compute_at import reverse_compute_at
from passes.schedule.primitives.reverse_compute_inline import reverse_compute_inline
from passes.schedule.primitives.rfactor import rfactor
from passes.schedule.primitives.rolling_buffer import rolling_buffer
from passes.schedule.primitives.set_scope import set_scope
from passes.schedule.primitives.software_pipeline import software_pipeline
from passes.schedule.primitives.split import Factor, split
from passes.schedule.primitives.storage_align import storage_align
from passes.schedule.primitives.tensorize import tensorize
from passes.schedule.primitives.transform_block_layout import transform_block_layout
from passes.schedule.primitives.transform_layout import IndexMap, transform_layout
from passes.schedule.primitives.trim import trim
from passes.schedule.primitives.unroll import unroll
from passes.schedule.primitives.vectorize import vectorize

__all__ = [
    "Access",
    "Factor",
    "IndexMap",
    "add_unit_loop",
    "annotate",
    "bind",
    "blockize",
    "cache_index",
    "cache_read",
    "cache_write",
    "compute_at",
    "compute_inline",
    "decompose_padding",
    "decompose_reduction",
    "fuse",
    "fuse_reduction_epilogue",
    "loop_partition",
    "merge",
    "pad_einsum",
    "parallel",
    "place",
    "reindex",
    "reindex_cache_read",
    "reindex_cache_write",
    "reorder",
    "reverse_compute_at",
    "reverse_compute_inline",
    "rfactor",
    "rolling_buffer",
    "set_scope",
    "software_pipeline",
    "split",
    "storage_align",
    "tensorize",
    "transform_block_layout",
    "transform_layout",
    "trim",
    "unannotate",
    "unroll",
    "vectorize",
]
