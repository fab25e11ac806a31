"""Schedules: loop programs rewritten step by step, every step checked.

definition ──primitives──► scheduled function          (rules decide which, `passes.search`)

schedule, recorder     the steps as methods, each kept in a trace
arguments              is what a step is given of the kind that it takes?
primitives/            one step a file
trace, instruction     the steps as data, as Python (trace_text) and as JSON (trace_data)
replay, queries        doing them again, from the first that differs; how they name what they take
sampling, decisions, locations    what a schedule leaves open, and values that follow from it
tree, accesses         finding and replacing statements; every load and store with its place
dependence, strides    may two iterations meet in an element?
bindings, footprints, dataflow    instances, boxes of elements, kinds of blocks: what rules ask
coverage, inverse      which instances loops run; which iterators lead to an element
layouts                index maps: where they lead, and the way back
staging, reindexing    values computed beforehand, along a block's own iterators
write_back             a block's results in a temporary first
consumer               an elementwise block seen from the block that computes what it reads
pipelining             which software pipelines of a loop are legal
filling                was what is read stored just before, and all of it?
legality, motion, reductions    what parallel loops, moved computations and inits need of that
combiner               what a reduction combines
instructions/, intrinsics    the table of tensor intrinsics, as texts and read
pattern, regions       what an intrinsic describes, found in a program; where its operands lie
division               a block split in two, around a nest and inside it
tensorization/         which iterators become which of an intrinsic's, and the steps to that
"""
