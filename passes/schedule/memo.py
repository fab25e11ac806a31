"""Steps done once: a step is pure, so what it made of a program once is what it makes of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from passes.ir.loop.nodes import Function
from passes.ir.node import key_of
from passes.schedule.instruction import Recorded
from passes.schedule.recorder import Primitive


class Memo:
    """Applies primitives, for schedules of the same function that begin alike; keeps the last
    `capacity` programs. `applied` counts the steps that had to be done."""

    def __init__(self, capacity: int = 1 << 12) -> None:
        self.capacity = capacity
        self.applied = 0
        self._known: OrderedDict[Any, Any] = OrderedDict()

    def __call__(
        self,
        primitive: Primitive,
        function: Function,
        args: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> Any:
        if any(isinstance(arg, Recorded) for arg in args):  # what it maps is not known before
            return self._do(primitive, function, args, options)
        key = (primitive, function, key_of(args), key_of(tuple(options.items())))
        made = self._known.get(key)
        if made is None:
            made = self._known[key] = self._do(primitive, function, args, options)
            if len(self._known) > self.capacity:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return made

    def _do(
        self,
        primitive: Primitive,
        function: Function,
        args: tuple[Any, ...],
        options: Mapping[str, Any],
    ) -> Any:
        self.applied += 1
        return primitive(function, *args, **options)
