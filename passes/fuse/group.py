"""Which operator calls become one kernel: fusion along post-dominators of the data flow.

A call joins the group of its immediate post-dominator (the first call that everything computed
from it passes through) if the calls on all paths between them may join too. What may join
follows from the kinds that the loop definitions show:

    contraction  → elementwise, broadcast        an epilogue; several contractions of one
                                                 activation may share theirs (gate and up)
    elementwise … injective → elementwise … injective, reduction           a prologue
    reduction    → reduction over the same rows          (normalisation, then quantisation)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from passes.ir.graph.nodes import Apply, GraphFunction, Result, Value
from passes.ir.graph.operator import Operators
from passes.ir.node import postorder
from passes.ops.define import define
from passes.ops.kind import Kind, kind

_POINTWISE = ("elementwise", "broadcast")
_MOVING = ("elementwise", "broadcast", "injective")
_LARGEST = 64


@dataclass(eq=False)
class Flow:
    """The calls of a function in order of data, who uses whom, and their fusion kinds."""

    calls: list[Apply]
    users: dict[Apply, list[Apply]]
    escaping: set[Apply]
    kinds: dict[Apply, Kind]
    dominators: dict[Apply, Apply | None] = field(default_factory=dict)


def flow_of(function: GraphFunction, operators: Operators) -> Flow:
    """The data flow of a function whose operations are all operator calls."""
    calls = [node for node in postorder(function) if isinstance(node, Apply)]
    users: dict[Apply, list[Apply]] = {call: [] for call in calls}
    for call in calls:
        for source in dict.fromkeys(_source(value) for value in call.inputs):
            if isinstance(source, Apply):
                users[source].append(call)
    ends = [value for _, value in (*function.results, *function.updates)]
    escaping = {source for v in ends if isinstance(source := _source(v), Apply)}
    memo: dict[object, Kind] = {}
    kinds = {}
    for call in calls:
        key = (call.op, call.attrs, call.types, tuple([v.type for v in call.inputs]))
        if key not in memo:
            memo[key] = kind(define(call, operators))
        kinds[call] = memo[key]
    flow = Flow(calls, users, escaping, kinds)
    _dominate(flow)
    return flow


def _dominate(flow: Flow) -> None:
    """Immediate post-dominators: the nearest common one of all users; None is the exit."""
    depth: dict[Apply | None, int] = {None: 0}
    for call in reversed(flow.calls):
        meet: Apply | None = None
        if call not in flow.escaping and flow.users[call]:
            meet = flow.users[call][0]
            for user in flow.users[call][1:]:
                meet = _common(meet, user, flow.dominators, depth)
        flow.dominators[call] = meet
        depth[call] = depth[meet] + 1


def _common(
    a: Apply | None,
    b: Apply | None,
    dominators: Mapping[Apply, Apply | None],
    depth: Mapping[Apply | None, int],
) -> Apply | None:
    while a is not b:
        if depth[a] < depth[b]:
            a, b = b, a
        assert a is not None
        a = dominators[a]
    return a


def groups(function: GraphFunction, operators: Operators) -> list[list[Apply]]:
    """A partition of the function's calls, groups and their calls in order of data."""
    flow = flow_of(function, operators)
    partition = {call: [call] for call in flow.calls}
    for call in flow.calls:
        end = flow.dominators[call]
        if end is None or partition[call] is partition[end]:
            continue
        between = _between(call, end, flow)
        if _may_join(call, between, end, flow, partition):
            joined = {c for part in (call, *between, end) for c in partition[part]}
            if len(joined) <= _LARGEST:
                merged = [c for c in flow.calls if c in joined]
                partition.update(dict.fromkeys(merged, merged))
    _side_by_side(flow, partition)
    ordered = _ordered(flow, partition)
    assert ordered is not None, "post-dominators cannot make groups need each other"
    return ordered


def _between(call: Apply, end: Apply, flow: Flow) -> list[Apply]:
    """The calls on paths from `call` to its post-dominator, both left out."""
    found: dict[Apply, None] = {}
    queue = list(flow.users[call])
    while queue:
        user = queue.pop()
        if user is not end and user not in found:
            found[user] = None
            queue.extend(flow.users[user])
    return list(found)


def _may_join(
    call: Apply,
    between: Sequence[Apply],
    end: Apply,
    flow: Flow,
    partition: Mapping[Apply, list[Apply]],
) -> bool:
    kinds = flow.kinds
    mine = _strongest(partition[call], kinds)
    theirs = _strongest([c for part in (*between, end) for c in partition[part]], kinds)
    middle = [kinds[c] for c in between]
    if mine == "contraction":
        if kinds[end] not in _POINTWISE or any(k not in _POINTWISE for k in middle):
            return False
        if end.op == "reshape":  # alone it is a view and costs nothing
            return False
        members = [c for part in (*between, end) for c in partition[part]]
        others = [c for c in members if kinds[c] == "contraction"]
        return all(_alike(call, other) for other in others) and theirs in (*_POINTWISE, mine)
    if any(k not in _MOVING for k in middle):
        return False
    if mine == "reduction":
        return kinds[end] == "reduction" and call.types[0].shape[:1] == end.types[0].shape[:1]
    return mine in _MOVING and kinds[end] in (*_MOVING, "reduction") and theirs != "contraction"


def _alike(a: Apply, b: Apply) -> bool:
    """Whether two contractions give the same shape from the same activation."""
    return a.types == b.types and a.inputs[0] is b.inputs[0]


def _strongest(calls: Sequence[Apply], kinds: Mapping[Apply, Kind]) -> Kind:
    order: tuple[Kind, ...] = (
        "elementwise", "broadcast", "injective", "reduction", "contraction", "opaque",
    )  # fmt: skip
    return max((kinds[c] for c in calls), key=order.index)


def _side_by_side(flow: Flow, partition: dict[Apply, list[Apply]]) -> None:
    """Merges groups that only move elements of one tensor and need nothing of each other, such as
    rotation of queries, rotation of keys into the cache, values into the cache."""
    reach: dict[Apply, set[Apply]] = {}
    for call in flow.calls:
        sources = [s for v in call.inputs if isinstance(s := _source(v), Apply)]
        reach[call] = set(sources).union(*[reach[s] for s in sources])
    readers: dict[Value, list[Apply]] = {}
    for group in {id(g): g for g in partition.values()}.values():
        if _strongest(group, flow.kinds) in _MOVING:
            for value in _read(group):
                readers.setdefault(value, []).append(group[0])
    for first, *others in readers.values():
        for other in others:
            members = {*partition[first], *partition[other]}
            before = set().union(*[reach[c] for c in members]) - members
            apart = partition[first] is not partition[other]
            if not apart or any(reach[c] & members for c in before) or len(members) > _LARGEST:
                continue
            merged = [c for c in flow.calls if c in members]
            proposed = {**partition, **dict.fromkeys(merged, merged)}
            if _ordered(flow, proposed) is not None:
                partition.update(proposed)


def _read(group: Sequence[Apply]) -> list[Value]:
    """The computed tensors of more than one axis that a group reads."""
    inside = set(group)
    values = dict.fromkeys(v for c in group for v in c.inputs if _source(v) not in inside)
    return [v for v in values if isinstance(_source(v), Apply) and len(v.type.shape) > 1]


def _ordered(flow: Flow, partition: Mapping[Apply, list[Apply]]) -> list[list[Apply]] | None:
    """The distinct groups, each after those it reads from; None if they need each other."""
    position = {call: k for k, call in enumerate(flow.calls)}
    sorter: TopologicalSorter[Apply] = TopologicalSorter()
    for call in flow.calls:
        mine = partition[call][0]
        sources = [s for v in call.inputs if isinstance(s := _source(v), Apply)]
        needed = {partition[s][0] for s in sources} - {mine}
        sorter.add(mine, *sorted(needed, key=position.__getitem__))
    try:
        return [partition[first] for first in sorter.static_order()]
    except CycleError:
        return None


def _source(value: Value) -> Value:
    return value.call if isinstance(value, Result) else value
