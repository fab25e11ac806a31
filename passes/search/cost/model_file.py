"""A cost model as a text file: what it learnt from and its trees, so that other runs go on where
this one stopped.

One JSON object: format, version, digest of the rest; the columns' names, seed, prior or not; the
booster as LightGBM writes it; the samples' tasks, times and numbers of stores, and their features
as base64 of compressed little-endian float32. Nothing in it is ever executed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from passes.search.cost.model import CostModel
from passes.search.cost.scorer import Rows
from passes.search.features.columns import COLUMNS

_FORMAT, _VERSION = "tensorkiln cost model", 1
_HEAD = ("format", "version", "digest")
_CURE = "delete it, and a model is trained anew from what is measured"


class ModelFileError(ValueError):
    """A file that holds no cost model, or one that cannot be used here; names the file."""


def save(model: CostModel, path: Path) -> None:
    """Writes the model; a file that is there is replaced as a whole."""
    batch = [rows for rows, _ in model.samples.values()]
    features = np.concatenate(batch).astype("<f4").tobytes() if batch else b""
    state = {
        "columns": list(COLUMNS),
        "seed": model.seed,
        "with_prior": model.with_prior,
        "fresh": model.fresh,
        "tasks": [task for task, _ in model.samples],
        "digests": [digest for _, digest in model.samples],
        # Infinity, of failures, is no number in JSON.
        "seconds": [repr(seconds) for _, seconds in model.samples.values()],
        "stores": [len(rows) for rows in batch],
        "features": base64.b64encode(zlib.compress(features)).decode(),
        "trees": model.trees,
    }
    head = {"format": _FORMAT, "version": _VERSION, "digest": _digest(state)}
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(json.dumps({**head, **state}, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def load(path: Path) -> CostModel:
    """The model that was saved. Raises ModelFileError, and OSError where there is no file."""
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelFileError(f"{path} is no cost model: it is no JSON; {_CURE}") from error
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ModelFileError(f"{path} is no cost model: it is another kind of file; name one")
    if data.get("version") != _VERSION:
        raise ModelFileError(
            f"{path} is a cost model of version {data.get('version')}, and this program reads "
            f"version {_VERSION}; {_CURE}"
        )
    state = {key: value for key, value in data.items() if key not in _HEAD}
    if data.get("digest") != _digest(state):
        raise ModelFileError(f"{path} is a damaged cost model: its digest does not fit; {_CURE}")
    if state["columns"] != list(COLUMNS):
        raise ModelFileError(
            f"{path} is a cost model for other features than this program computes; {_CURE}"
        )
    model = CostModel(state["seed"], with_prior=state["with_prior"])
    keys = zip(state["tasks"], state["digests"], strict=True)
    times = [float(seconds) for seconds in state["seconds"]]
    model.samples = dict(zip(keys, zip(_features(state), times, strict=True), strict=True))
    model.fresh, model.trees = state["fresh"], state["trees"]
    return model


def _features(state: dict[str, Any]) -> list[Rows]:
    """One matrix for each sample."""
    packed = zlib.decompress(base64.b64decode(state["features"]))
    rows = np.frombuffer(packed, "<f4").reshape(-1, len(COLUMNS)).astype(np.float32)
    return np.split(rows, np.cumsum(state["stores"])[:-1]) if state["stores"] else []


def _digest(state: dict[str, Any]) -> str:
    text = json.dumps(state, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
