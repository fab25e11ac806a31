"""Loop IR: statements over buffers; nodes, builder, text, verifier, interpreter."""
