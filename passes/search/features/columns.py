"""The columns of feature rows, by name. A row speaks of one store of a scheduled program.

Counts are kept as log2(1 + count); `column` gives them back. Flags are 0 or 1, shares lie between
0 and 1; both are kept as they are. Where not said otherwise a count is over the whole program, all
threads together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OPERATIONS = (
    "fma", "mul", "add", "div", "max", "exp", "call", "int", "compare", "convert", "tensor",
)  # fmt: skip
"""Kinds of arithmetic. `fma`: a product and its sum, of floats or integers; `mul`, `add`, `div`
and `max` (min, absolute values, rounding) of floats; `exp`; `call`: other scalar functions; `int`:
other integer arithmetic; `compare`: comparisons, selections and logic; `tensor`: calls of dot
products and of instructions of a CPU."""
LOOP_KINDS = ("serial", "parallel", "vectorized", "unrolled")
BUFFERS = 5
"""How many buffers have columns: the most important ones, by bytes accessed."""
POINTS = 10
"""Of the intensity curve."""

# What runs
INIT = "init"  # flag: the store begins a reduction
RUNS = "runs"  # elements stored
STEPS = "steps"  # iterations of the innermost loop that is not a vector or unrolled inside one
REDUCTION = "reduction"  # runs that go to the same element
MULTIPLY_ADDS = "multiply_adds"  # those that tensor instructions stand for included
TENSOR_PRODUCTS = "tensor.products"  # products that a lane of a tensor instruction adds up; else 0
TENSOR_LANES = "tensor.lanes"  # lanes of the result of a tensor instruction; else 0


def operations(kind: str) -> str:
    """Scalar operations of a kind (a tensor instruction counts once a lane)."""
    return f"ops.{kind}"


def per_step(kind: str) -> str:
    """Vector instructions of a kind of arithmetic in a step."""
    return f"step.{kind}"


# A step: one iteration of the innermost loop that is not vectorized or unrolled
ARITHMETIC = "step.arithmetic"  # vector instructions that compute
LOADS = "step.loads"  # vectors loaded; what stays the same from step to step counts in part
BROADCASTS = "step.broadcasts"  # scalars loaded into all lanes
GATHERS = "step.gathers"  # elements loaded one by one
STORES = "step.stores"  # vectors stored

# Registers
ACCUMULATORS = "tile.accumulators"  # vectors that take sums (results) of different places
TILE_ROWS = "tile.rows"  # of them along loops that are not vectorized
TILE_COLUMNS = "tile.columns"  # of them along the vectorized loop and loops over such vectors
REGISTERS = "tile.registers"  # vector registers that a step needs
PRESSURE = "tile.pressure"  # those for each that the target has (a ratio, may exceed 1)

# Vectors
WIDTH = "vector.width"  # iterations of the vectorized loop (of all, if nested); 1 without
LANES = "vector.lanes"  # lanes of the target's vectors, of the widest element type at hand
FILLED = "vector.filled"  # share of the lanes of the vectors that do work
MASKED = "vector.masked"  # flag: a condition says which lanes are there

# Bytes that cross to the level named from the next nearer one, read or written
TRAFFIC_L1 = "traffic.l1"  # registers <-> first level cache
TRAFFIC_L2 = "traffic.l2"  # first <-> second level cache
TRAFFIC_SHARED = "traffic.shared"  # second level <-> cache that cores share
TRAFFIC_MEMORY = "traffic.memory"  # shared cache <-> memory, beginning with cold caches
TRAFFIC = (TRAFFIC_L1, TRAFFIC_L2, TRAFFIC_SHARED, TRAFFIC_MEMORY)

# Threads
CHUNKS = "parallel.chunks"  # iterations of parallel loops; 1 without
CHUNKS_EACH = "parallel.chunks_each"  # of the busiest thread
BALANCE = "parallel.balance"  # share of the threads' time that is work, were chunks equal
REGIONS = "parallel.regions"  # times that a parallel loop is entered
CHUNK_STEPS = "parallel.chunk_steps"  # steps of one chunk

# Loops
ITERATIONS = "loops.iterations"  # of all loops that are counted at run time
ENTRIES = "loops.entries"  # times that the innermost of them is entered
DEPTH = "loops.depth"  # how many of them are around the store
TRIPS = ("loops.trips0", "loops.trips1", "loops.trips2")  # of the innermost of them; 1 without
STAGES = "loops.stages"  # of software pipelines around: iterations under way at a time; 1 without
PREFETCHED = "loops.prefetched"  # flag: a loop around fetches data of later iterations
CODE = "code.instructions"  # vector instructions written out


def loops(kind: str, what: str) -> str:
    """Of the loops of a kind around the store: their `number`, the `product` of their extents, the
    extent of the `innermost` (1 without)."""
    return f"loops.{kind}.{what}"


# Memory. The last four are of the program, and the same in all rows
TARGET_BYTES = "target.bytes"  # the buffer stored to; of a private one, what a thread keeps
TARGET_PRIVATE = "target.private"  # flag: it is in memory of a thread
TARGET_REGISTER = "target.register"  # flag: it is in registers
PROGRAM_BYTES = "program.bytes"  # all buffers that threads share
PROGRAM_TEMPORARIES = "program.temporaries"  # those of them that the program allocates
PROGRAM_PRIVATE = "program.private"  # temporaries of one thread, in memory and in registers
PROGRAM_REGIONS = "program.regions"  # parallel loops entered, of all stores

ACCESS_FLAGS = (
    "read", "write", "both",  # how the buffer is accessed
    "private", "register",  # in memory or in registers of a thread
    "contiguous", "broadcast", "strided",  # along the vectorized loop
    "indirect",  # by an index that is not a sum of loops, quotients and remainders
    "loop_reuse", "serial_reuse",  # a loop around comes back; else another statement
)  # fmt: skip
ACCESS_COUNTS = (
    "bytes", "unique", "lines",  # accessed; different ones; cache lines of those
    "l2", "shared", "memory",  # its part of the traffic
    "stride",  # bytes from one lane of the vectorized loop to the next
    "reuse_steps", "reuse_bytes", "reuse_times",  # until it is accessed again; how often
    "conflicts",  # rows of a tile that meet in the same set of the first level cache
)  # fmt: skip


def access(number: int, what: str) -> str:
    """One of ACCESS_FLAGS and ACCESS_COUNTS of a buffer; number 0 has the most bytes accessed."""
    return f"buffer{number}.{what}"


def intensity(point: int) -> str:
    """log2(1 + operations for each byte) where a share point/9 of all operations (their
    logarithm) is done inside: from one run to the whole program."""
    return f"intensity{point}"


FLAGS = frozenset(
    [INIT, FILLED, MASKED, BALANCE, PRESSURE, PREFETCHED, TARGET_PRIVATE, TARGET_REGISTER]
    + [intensity(point) for point in range(POINTS)]
    + [access(number, what) for number in range(BUFFERS) for what in ACCESS_FLAGS]
)
"""Columns that are no logarithms of counts."""

COLUMNS: tuple[str, ...] = (
    INIT, RUNS, STEPS, REDUCTION, MULTIPLY_ADDS, TENSOR_PRODUCTS, TENSOR_LANES,
    *[operations(kind) for kind in OPERATIONS],
    *[per_step(kind) for kind in OPERATIONS],
    ARITHMETIC, LOADS, BROADCASTS, GATHERS, STORES,
    ACCUMULATORS, TILE_ROWS, TILE_COLUMNS, REGISTERS, PRESSURE,
    WIDTH, LANES, FILLED, MASKED,
    *TRAFFIC,
    CHUNKS, CHUNKS_EACH, BALANCE, REGIONS, CHUNK_STEPS,
    ITERATIONS, ENTRIES, DEPTH, *TRIPS, STAGES, PREFETCHED, CODE,
    *[loops(kind, what) for kind in LOOP_KINDS for what in ("number", "product", "innermost")],
    TARGET_BYTES, TARGET_PRIVATE, TARGET_REGISTER,
    PROGRAM_BYTES, PROGRAM_TEMPORARIES, PROGRAM_PRIVATE, PROGRAM_REGIONS,
    *[access(n, what) for n in range(BUFFERS) for what in (*ACCESS_FLAGS, *ACCESS_COUNTS)],
    *[intensity(point) for point in range(POINTS)],
)  # fmt: skip
"""All columns, in the order of the matrix."""
POSITION = {name: position for position, name in enumerate(COLUMNS)}


def column(features: NDArray[np.float32], name: str) -> NDArray[np.float64]:
    """A column of feature rows, counts as such again: `[..., F] → [...]`."""
    values = features[..., POSITION[name]].astype(np.float64)
    return values if name in FLAGS else np.exp2(values) - 1.0
