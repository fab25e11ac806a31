"""Model files → graph IR and weights in their stored formats.

gguf_file (bytes → checked tables) → block_formats (a tensor's bytes → named fields) and tokenizer
(tables → tokenizer.json). storages says what quantised fields mean, gguf_weights hands tensors to
an architecture's importer (llama), and stage writes module, weights and tokenizer.
"""
