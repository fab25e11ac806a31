"""doit's memory of earlier runs: none. The store knows what is done, so nothing of doit's can be
lost, damaged or in the way of a second build."""

from __future__ import annotations

from typing import Any


class NoMemory:
    """A doit backend that lasts as long as the process."""

    desc = "nothing is kept: the store under artifacts/ is the truth"

    def __init__(self, name: str, codec: object, *, module_name: str | None = None) -> None:
        self.name = name
        self._values: dict[str, dict[str, Any]] = {}

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        self._values.setdefault(task_id, {})[dependency] = value

    def get(self, task_id: str, dependency: str) -> Any:
        return self._values.get(task_id, {}).get(dependency)

    def in_(self, task_id: str) -> bool:
        return task_id in self._values

    def remove(self, task_id: str) -> None:
        self._values.pop(task_id, None)

    def remove_all(self) -> None:
        self._values.clear()

    def dump(self) -> None:
        """Nothing to write."""
