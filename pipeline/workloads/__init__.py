"""Workloads: single operators, or an operator with its epilogue, declared like recipes.

    configs/workloads/NAME.yaml --load--> cases --stages--> packages --bench--> records, table

`schema` says what a file may hold, `load` reads one, `build` makes a package of a case by the
ordinary stages. What a case means is in `passes.importers.workload`.
"""
