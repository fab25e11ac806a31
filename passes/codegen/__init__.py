"""Scheduled kernels and graphs → memory plan, host program, LLVM text, objects."""
