"""Nodes, scalars and dims, and the two IRs: tensors (`graph`) and loops over buffers (`loop`)."""
