"""The engines that a case can be measured against, and the settings of which the best counts."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.bench.engine import BenchError, Engine
from pipeline.workloads.measure import Peer

_TORCH, _ONNX = "pipeline.workloads.peer_torch", "pipeline.workloads.peer_onnx"
_MODULES = {"torch": _TORCH, "onnxruntime": _ONNX, "openvino": _ONNX}
PEERS = tuple(_MODULES)


def peers_of(names: Sequence[str], python: str) -> list[Peer]:
    """Every setting of the engines of these names."""
    found = []
    for name in names:
        if name == "torch":
            found += [Peer(name, _TORCH, python, {"channels_last": last}) for last in (False, True)]
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
                raise BenchError(
                    f"{python} cannot import {name} ({error}): pip install -e '.[bench]', or "
                    "give peer_python=PATH of a Python that has it"
                ) from None
    return found
