"""The order of operations on each page.  Pure.

Operations that are not over stand in line at each page that they still concern, in the order in
which they came.  A write that takes effect replaces what stood there, so it ends, on these pages,
all that came before it: that counts as done just before.  A patch reads what it changes, so it
waits behind the writes before it; `next_patches` collects those whose turn has come.

Lines exist only where somebody waits: with none, nothing is looked up.
"""

from ramsterd.core.page import PoolId
from ramsterd.frontends.pager.operations import Operation, Patch, Write


class Order:
    """The lines at all pages."""

    def __init__(self) -> None:
        # By object, and in it by index.
        self._objects: dict[tuple[PoolId, bytes], dict[int, list[Operation]]] = {}
        # Patches that wait for no other write any more.
        self.next_patches: list[Patch] = []

    def has_write(self, pool: PoolId, object_id: bytes, index: int) -> bool:
        """Whether a write of a page is not over."""
        line = self._objects.get((pool, object_id), {}).get(index, ())
        return any(isinstance(operation, Write) for operation in line)

    def add(self, operation: Operation) -> None:
        """An operation is the last in line at each of its pages."""
        lines = self._objects.setdefault((operation.pool, operation.object_id), {})
        for run in operation.rest:
            for index in run:
                lines.setdefault(index, []).append(operation)

    def remove(self, operation: Operation) -> None:
        """An operation is over, whatever it had left."""
        for run in operation.rest:
            for index in run:
                self._keep(operation.pool, operation.object_id, index, without=operation)

    def strike(
        self, pool: PoolId, object_id: bytes, index: int, count: int, *, newest: int
    ) -> list[Operation]:
        """A run was replaced by operation `newest`: strike it out of that and of all before.

        Return which these are.
        """
        lines = self._objects.get((pool, object_id))
        if lines is None:
            return []
        if count <= len(lines):
            indexes = [each for each in range(index, index + count) if each in lines]
        else:
            indexes = [each for each in lines if index <= each < index + count]
        struck: dict[Operation, None] = {}
        for each in indexes:
            line = lines[each]
            if line[-1].number <= newest:  # all of it, as mostly
                struck |= dict.fromkeys(line)
                self._end_line(pool, object_id, each)
                continue
            for operation in [one for one in line if one.number <= newest]:
                struck[operation] = None
                self._keep(pool, object_id, each, without=operation)
        for operation in struck:
            operation.strike(index, index + count)
        return list(struck)

    def _keep(self, pool: PoolId, object_id: bytes, index: int, *, without: Operation) -> None:
        line = self._objects[pool, object_id][index]
        line.remove(without)
        if not line:
            self._end_line(pool, object_id, index)
            return
        first = next((each for each in line if isinstance(each, Write)), None)
        if isinstance(first, Patch) and first.is_behind:
            first.is_behind = False
            self.next_patches.append(first)

    def _end_line(self, pool: PoolId, object_id: bytes, index: int) -> None:
        lines = self._objects[pool, object_id]
        del lines[index]
        if not lines:
            del self._objects[pool, object_id]

    def check_invariants(self, operations: list[Operation]) -> None:
        """Assert that who has something left to do stands in line for it, and nobody else."""
        queued = {
            (operation, index)
            for key, lines in self._objects.items()
            for index, line in lines.items()
            for operation in line
            if (operation.pool, operation.object_id) == key
        }
        wanted = {(each, index) for each in operations for run in each.rest for index in run}
        assert queued == wanted
        for lines in self._objects.values():
            assert lines, "an object at whose pages nobody waits"
            for line in lines.values():
                numbers = [each.number for each in line]
                assert numbers == sorted(set(numbers)), "out of turn"
                writes = [each for each in line if isinstance(each, Write)]
                for place, write in enumerate(writes):
                    assert not isinstance(write, Patch) or write.is_behind == (place > 0)
