"""Graph IR: a DAG of operations on tensors; nodes, text, verifier, interpreter."""
