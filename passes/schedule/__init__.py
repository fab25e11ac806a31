"""Schedules: loop programs rewritten step by step, every step checked.

    definition ──primitives──► scheduled function          (rules decide which, `passes.search`)
"""
