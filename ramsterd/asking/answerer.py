"""Answerer: commands of other nodes that wait for their turn.  Pure.

Nodes take turns, so that one that asks much delays itself.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from nodemanager.ids import NodeId
from ramsterd.asking.messages import Command

COMMANDS_PER_NODE_MAX: Final = 4
# As long as an asker waits: then nobody is interested in the answer.
COMMAND_SECONDS_MAX: Final = 5.0


class Answerer:
    """See the module's text."""

    def __init__(self) -> None:
        # The first node is the next one; a node without commands is not here.
        self._waiting: dict[NodeId, deque[tuple[float, Command]]] = {}
        self.expired_total = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def on_command(self, node: NodeId, command: Command, now: float) -> bool:
        """Take a command; return whether there was room for it."""
        waiting = self._waiting.setdefault(node, deque())
        if len(waiting) >= COMMANDS_PER_NODE_MAX:
            return False
        waiting.append((now, command))
        return True

    def on_link_lost(self, node: NodeId) -> None:
        """Nobody waits for what that node asked."""
        self._waiting.pop(node, None)

    def take(
        self, now: float, may_answer: Callable[[NodeId], bool]
    ) -> tuple[NodeId, Command] | None:
        """Return the next command of a node that may be answered now; None: there is none."""
        for node in list(self._waiting):
            waiting = self._waiting[node]
            while waiting and now - waiting[0][0] >= COMMAND_SECONDS_MAX:
                waiting.popleft()
                self.expired_total += 1
            if waiting and not may_answer(node):
                continue
            del self._waiting[node]
            if waiting:
                _, command = waiting.popleft()
                if waiting:
                    self._waiting[node] = waiting  # behind the others
                return node, command
        return None

    def check_invariants(self) -> None:
        """Assert what must hold between calls."""
        for waiting in self._waiting.values():
            assert 0 < len(waiting) <= COMMANDS_PER_NODE_MAX
