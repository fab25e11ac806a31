"""Work that must not take the build down with it: stages in processes of their own.

    job (JSON) --process--> `python -m pipeline.workers.stage` --events--> progress, peak memory

Every worker imports this package: it stays empty, so that a worker starts in a blink.
"""
