"""What one thread does to memory: stores, updates of tuples, views, copies that are issued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from passes.ir.arith.symbols import substitute
from passes.ir.loop.closures import RACE, TRACKED, Evaluator, Frame, Roots, Run, chosen, is_masked
from passes.ir.loop.copies import Copy, issue
from passes.ir.loop.nodes import Load, Store, Update, View


class Stores:
    """Compiles the statements that change memory.

    `group` is the slot of the queue whose copies are being compiled, None outside of groups.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.group: int | None = None

    def view(self, view: View) -> Run:
        """Makes the region known by the view's name."""
        ev, whole = self.evaluator, view.source.buffer
        source, target = ev.slot(whole), ev.slot(view.buffer)
        starts = ev.roots(view.source.indices)
        sizes = [None if e is None else ev.compile(e) for e in view.extents]

        def run(frame: Frame) -> None:
            data, mask = frame[source], frame[source + 1]
            at: list[Any] = []
            for start, size, extent in zip(starts.run(frame), sizes, data.shape, strict=True):
                end = start + (1 if size is None else size(frame))
                if not 0 <= start <= end <= extent:
                    ev.fail(
                        view.source, frame, f"is where a view begins that reaches {end}, outside"
                        f" the buffer's shape {list(data.shape)}; guard the block by a predicate",
                    )  # fmt: skip
                at.append(start if size is None else slice(start, end))
            region = (*at, ...)
            frame[target] = data[region]
            frame[target + 1] = None if mask is None else mask[region]

        return run

    def store(self, stmt: Store) -> Run:
        """Evaluates the place and the value, and stores it."""
        roots = self.evaluator.roots([*stmt.indices, stmt.value])
        put = self._put(Load(stmt.buffer, stmt.indices), roots)

        def run(frame: Frame) -> None:
            *at, value = roots.run(frame)
            put(frame, tuple(at), value)

        return run

    def update(self, stmt: Update) -> Run:
        """Evaluates everything, then stores."""
        operands = zip(stmt.combiner.params, (*stmt.targets, *stmt.operands), strict=True)
        meanings = dict(operands)
        results = [substitute(e, meanings) for e in stmt.combiner.results]
        indices = [target.indices for target in stmt.targets]
        roots = self.evaluator.roots([*[i for place in indices for i in place], *results])
        puts = [self._put(target, roots) for target in stmt.targets]
        ranks = [len(place) for place in indices]

        def run(frame: Frame) -> None:
            found = iter(roots.run(frame))
            places = [tuple([next(found) for _ in range(rank)]) for rank in ranks]
            for put, place, value in zip(puts, places, list(found), strict=True):
                put(frame, place, value)

        return run

    def _put(self, access: Load, roots: Roots) -> Callable[[Frame, tuple[Any, ...], Any], None]:
        """Stores a value; `roots` give it last, where copies are asynchronous."""
        ev, slot, scope = self.evaluator, self.evaluator.slot(access.buffer), access.buffer.scope
        dtype, queue = access.buffer.dtype, self.group
        wide = access.dtype.lanes > 1
        races = ev.races if scope in TRACKED else None
        masked = is_masked(access.indices)

        def put(frame: Frame, place: tuple[Any, ...], value: Any) -> None:
            data, held = frame[slot], None
            if masked:
                place, held = chosen(place)
                value = value[held]
            if wide:
                ev.check_wide(access, frame, place)
            elif place and min(place) < 0:
                ev.outside(access, frame, place)
            if races is not None and not races.touch(scope, data, place, write=True):
                ev.fail(access, frame, f"is stored to here and touched {RACE}")
            try:
                data[place] = value
            except IndexError:
                ev.outside(access, frame, place)
            if frame[slot + 1] is not None:
                frame[slot + 1][place] = True
            if queue is not None:
                then = list(frame)

                def again() -> Any:
                    return roots.run(then)[-1] if held is None else roots.run(then)[-1][held]

                issue(frame[queue][-1], Copy(data, place, data[place], dtype, again))

        return put
