"""Measuring packages, side by side with others that run the same model.

    package, model file --engines, one process each, in turns--> records --> table, JSON
    package, text --score--> perplexity

`timing` is the protocol, `engine` a worker process and the pipe to it, `channel` the worker's end
of that pipe; `ours`, `peer` and `machine` are the workers; `work` counts what a token costs at
least; `compare` measures, `report` shows. The package imports nothing by itself: `peer` runs under
an interpreter that may have llama_cpp and numpy alone.
"""
