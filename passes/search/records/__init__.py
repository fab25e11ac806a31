"""Tuning records: what was measured, kept in files that are shared, shipped and reviewed.

record      one candidate and how it went: a JSON object on a line
layer       a file of records, read once; where each one lies in it
files       writing such files: locked, synced, never half
ranking     which of the records of a point is best
database    records by workload and machine; appends what is new
upkeep      merge, prune, export
structure   what kernels of different sizes have in common
neighbours  records of similar kernels, to start a search from
"""
