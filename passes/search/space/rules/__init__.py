"""Rules of design spaces, a file each, named by entry points `tensorkiln.schedule_rules`.

custom_rule                a block's annotation names the rule that schedules it
inline_constants           numbers that are the same wherever they are read
auto_inline                maps dissolve in what reads them
add_rfactor                long reductions with few results: partial results
cross_thread_reduction     the same by the threads of a block, on GPUs
tile_with_intrinsic        tiles computed by an instruction of the target
multi_level_tiling         tiles of tiles, a result tile in registers
random_compute_location    temporaries computed where they are needed
wide_vector                reductions whose results lie side by side in vectors
parallel_vectorize_unroll  outer loops to threads, neighbours to lanes, short loops written out
layout_rewrite             constants in the order in which tiles read them
software_pipeline          copies of the next iteration under way during this one
"""

from __future__ import annotations

from collections.abc import Collection

from passes.search.defaults.target import Target
from passes.search.space.rule import Rule
from passes.search.space.rules.add_rfactor import AddRfactor
from passes.search.space.rules.auto_inline import AutoInline
from passes.search.space.rules.custom_rule import CustomRule
from passes.search.space.rules.inline_constants import InlineConstants
from passes.search.space.rules.layout_rewrite import LayoutRewrite
from passes.search.space.rules.multi_level_tiling import MultiLevelTiling
from passes.search.space.rules.parallel_vectorize_unroll import ParallelVectorizeUnroll
from passes.search.space.rules.random_compute_location import RandomComputeLocation
from passes.search.space.rules.software_pipeline import SoftwarePipeline
from passes.search.space.rules.tile_with_intrinsic import TileWithIntrinsic
from passes.search.space.rules.wide_vector import WideVector


def rules_for(target: Target, off: Collection[str] = ()) -> list[Rule]:
    """The rules for a CPU, in the order in which they go over a program; without the groups
    `off`."""
    rules: list[Rule] = [
        CustomRule(),
        InlineConstants(),
        AutoInline(),
        AddRfactor(),
        TileWithIntrinsic(),
        MultiLevelTiling(folds="layout" not in off),
        RandomComputeLocation(),
        WideVector(),
        ParallelVectorizeUnroll(),
        LayoutRewrite(),
        SoftwarePipeline(),
    ]
    return [rule for rule in rules if rule.group not in off]
