"""The truth of a build: content-addressed files and a ledger of what made them.

    stage's output folder --commit--> blobs + tree --record--> ledger row under the stage's key
    key --find--> ledger row --materialise--> folder

Everything is written to a temporary file, synced and renamed, so a killed build leaves either a
whole result or none. Several builds may use one store at the same time.
"""

from pipeline.store.errors import StoreError
from pipeline.store.ledger import Row
from pipeline.store.store import Store
from pipeline.store.tree import File, Tree

__all__ = ["File", "Row", "Store", "StoreError", "Tree"]
