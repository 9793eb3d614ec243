"""What changes in the node table, and who is told, in which order.

The ancestor's heartbeat called its subscribers by priority when a node went up or down; so do we.
Delivery is synchronous: when `publish` returns to the caller that changed the table first,
everybody knows.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar, cast

from nodemanager.ids import Incarnation, NodeId

# The reason of a NodeDown that an orderly stop brought.
STOPPED_IN_ORDER: Final = "stopped in order"
# And why it is when it, or this node, was removed from the cluster.
NO_MEMBER: Final = "no longer a member"


@dataclass(frozen=True, slots=True)
class NodeUp:
    """An incarnation of a node is believed alive; comes once until its NodeDown."""

    node: NodeId
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class NodeSuspected:
    """A live node is silent: place nothing there.  NodeCleared, NodeDraining or NodeDown follows."""

    node: NodeId
    incarnation: Incarnation
    reason: str


@dataclass(frozen=True, slots=True)
class NodeCleared:
    """A suspicion or a drain ended well; the node is up as before."""

    node: NodeId
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class NodeDraining:
    """A live node gives back what it holds: place nothing there, fetching still works."""

    node: NodeId
    incarnation: Incarnation


@dataclass(frozen=True, slots=True)
class NodeDown:
    """A node is given up, or said goodbye, or this incarnation of it has ended.

    Without a NewIncarnation behind it this means unreachable, not lost: what the node holds counts
    again when the same incarnation is back.  `incarnation` is None when no incarnation of the node
    was ever heard.
    """

    node: NodeId
    incarnation: Incarnation | None
    reason: str


@dataclass(frozen=True, slots=True)
class NewIncarnation:
    """A node started again: all that its older incarnation held is gone.  Comes after that incarnation's NodeDown."""

    node: NodeId
    old: Incarnation
    new: Incarnation


NodeEvent: TypeAlias = (
    NodeUp | NodeSuspected | NodeCleared | NodeDraining | NodeDown | NewIncarnation
)
_Event = TypeVar(
    "_Event", NodeUp, NodeSuspected, NodeCleared, NodeDraining, NodeDown, NewIncarnation
)


@dataclass(frozen=True, slots=True)
class _Subscription:
    """One subscriber's place in the order."""

    kind: type[NodeEvent]
    priority: int
    callback: Callable[[NodeEvent], None]


class NodeSubscribers:
    """Who is told of node events.

    An event reaches the subscribers of its type from the lowest priority number to the highest;
    equal numbers in the order of subscription.  A subscriber may cause further events (closing a
    link does): they wait until everybody has heard the present one, so that all see one order.

    An exception in a subscriber is a bug of ours and ends the publishing task.  Events that were
    waiting are dropped with it.
    """

    def __init__(self) -> None:
        self._subscriptions: list[_Subscription] = []
        self._waiting: deque[NodeEvent] = deque()
        self._is_publishing = False

    def subscribe(
        self, kind: type[_Event], callback: Callable[[_Event], None], *, priority: int
    ) -> None:
        """Have `callback` called, synchronously, with each event of exactly this type."""
        # Only events of type `kind` are handed to it, which the type system can't see.
        subscription = _Subscription(kind, priority, cast("Callable[[NodeEvent], None]", callback))
        self._subscriptions.append(subscription)
        self._subscriptions.sort(key=lambda each: each.priority)  # stable: equals keep their order

    def publish(self, events: Iterable[NodeEvent]) -> None:
        """Tell each event to its subscribers, in order."""
        self._waiting.extend(events)
        if self._is_publishing:
            return  # the outer call, further up the stack, goes on with these
        self._is_publishing = True
        try:
            while self._waiting:
                self._tell(self._waiting.popleft())
        finally:
            self._is_publishing = False
            self._waiting.clear()

    def _tell(self, event: NodeEvent) -> None:
        for subscription in tuple(self._subscriptions):
            if subscription.kind is type(event):
                subscription.callback(event)
