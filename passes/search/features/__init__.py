"""What a cost model sees of a scheduled program: numbers for each of its stores.

columns       the columns, by name
tape          arithmetic on numbers that are given later, many at a time
sums, forms   index expressions over loops
rows          the stores with their loops and accesses
allocations, footprints, caches, steps, operations, resources
              what they take of memory, caches, registers and units
stores, buffers, curve, matrix, program
              the features
summary       a row in words
"""

from passes.search.features.program import ProgramFeatures, features_of

__all__ = ["ProgramFeatures", "features_of"]
