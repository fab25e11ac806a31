"""Fuse stage: which kernels there are.

graph ops ─quantise_activations─► int8 ops ─pack─► panel weights ─group─► loop functions
"""
