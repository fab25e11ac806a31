"""The engines that a case can be measured against, and the settings of which the best counts."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.bench.engine import LONGEST, BenchError, Engine
from pipeline.workloads.measure import Peer

_TORCH, _ONNX = "pipeline.workloads.peer_torch", "pipeline.workloads.peer_onnx"
_TVM = "pipeline.workloads.peer_tvm"
_MODULES = {"torch": _TORCH, "onnxruntime": _ONNX, "openvino": _ONNX, "tvm": _TVM}
_EXTRAS = {"tvm": "tvm"}  # of pip install; the others are in `bench`
_TRIAL = 60.0  # seconds that tvm gives a candidate at most: 30 to be built, 30 to run
PEERS = tuple(_MODULES)


def peers_of(names: Sequence[str], python: str, tvm_trials: int) -> list[Peer]:
    """Every setting of the engines of these names; tvm tunes a case with so many trials."""
    found = []
    for name in names:
        if name == "torch":
            found += [Peer(name, _TORCH, python, {"channels_last": last}) for last in (False, True)]
        elif name == "tvm":
            longest = LONGEST + tvm_trials * _TRIAL
            found.append(Peer(name, _TVM, python, {"trials": tvm_trials}, longest))
        else:
            found.append(Peer(name, _ONNX, python, {"engine": name}))
    return found


def versions(names: Sequence[str], python: str) -> dict[str, str]:
    """The version of each engine.

    Raises BenchError where the interpreter lacks one of them.
    """
    found = {}
    for name in names:
        with Engine(name, _MODULES[name], python) as engine:
            try:
                found[name] = str(engine.ask("version", engine=name))
            except BenchError as error:
                extra = _EXTRAS.get(name, "bench")
                raise BenchError(
                    f"{python} cannot import {name} ({error}): pip install -e '.[{extra}]', or "
                    "give peer_python=PATH of a Python that has it"
                ) from None
    return found
