"""Schedules: loop programs rewritten step by step, every step checked.

definition ──primitives──► scheduled function          (rules decide which, `passes.search`)

schedule, recorder     the steps as methods, each kept in a trace
arguments              is what a step is given of the kind that it takes?
primitives/            one step a file
trace, instruction     the steps as data, as Python (trace_text) and as JSON (trace_data)
replay, queries        doing them again, from the first that differs; how they name what they take
sampling, decisions, locations    what a schedule leaves open, and values that follow from it
tree, renaming         finding, replacing and copying statements
accesses               every load and store with its place
dependence, strides    may two iterations meet in an element?
bindings, footprints, dataflow    instances, boxes of elements, kinds of blocks
survey                 what these find in a function, as text
coverage, inverse      which instances loops run; which iterators lead to an element
layouts                index maps: where they lead, and the way back
staging, reindexing    values computed beforehand, along a block's own iterators
write_back             a block's results in a temporary first
consumer               an elementwise block seen from the block that computes what it reads
pipelining             which software pipelines of a loop are legal
filling                was what is read stored just before, and all of it?
legality, motion, reductions, copying    what parallel loops, moved computations, inits and
                       asynchronous copies need of that
faults, surplus        what may fail where the program did not come before
margins, limits        which iterations of a loop add to a reduction; what conditions say of that
outputs                may a block's instances store again, or elsewhere?
loop_kinds             a loop run in another way: at once, as lanes, or written out
combiner               what a reduction combines
instructions/, intrinsics    the table of tensor intrinsics, as texts and read
pattern, regions       what an intrinsic describes, found in a program; where its operands lie
division               a block split in two, around a nest and inside it
tensorization/         which iterators become which of an intrinsic's, and the steps to that
"""
