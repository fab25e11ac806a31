"""Schedules: loop programs rewritten step by step, every step checked.

definition ──primitives──► scheduled function          (rules decide which, `passes.search`)

schedule, trace        the steps as methods, and what they leave: a record to print and replay
primitives/            one step a file
tree, accesses         finding and replacing statements; every load and store with its place
dependence             may two iterations meet in an element?
legality, motion, reductions    what parallel loops, moved computations and inits need of that
combiner, intrinsics   what a reduction combines; what an instruction computes
"""
