"""The host program: what a graph function is once its kernels are chosen.

    graph function ─lower─► launches in order ─barriers─► phases ─plan─► arena ─emit─► LLVM text

kernels    the loop functions launched, each under a name of its own
lower      values get memory: inputs, outputs, states, weights, temporaries; donations, copies
barriers   launches that need each other are kept apart, the others run side by side
plan       temporaries get places in one arena of symbolic size
weights    where each tensor begins in the weights file
values     what integer inputs may hold
emit       the program every thread runs
"""
