"""The states of a node, how one follows another, and what may be asked of a node in each.

Only liveness and intent are states.  Whether a link is open, and whether the node has room, are
facts of their own (`nodemanager.table`): a node may be up and unlinked, or down while its link has
not noticed.
"""

import enum
from dataclasses import dataclass
from typing import Final

from nodemanager.ids import Incarnation, NodeId


class NodeState(enum.Enum):
    """What we believe of a node."""

    JOINING = "joining"  # configured, but this incarnation was not heard yet
    UP = "up"
    SUSPECT = "suspect"  # silent too long, not yet given up
    DOWN = "down"  # given up; with the same incarnation it is unreachable, not lost
    DRAINING = "draining"  # alive, gives back what it holds, takes nothing
    LEFT = "left"  # said goodbye


class LinkState(enum.Enum):
    """Whether there is a link to a node, and if not, what stood in the way last.  A metric has these as labels."""

    LINKED = "linked"
    UNTRIED = "untried"  # nothing has happened yet
    UNREACHABLE = "unreachable"  # no connection, or no TLS on it
    REFUSED_HERE = "refused_here"  # what it said of itself is not in our cluster file
    REFUSED_THERE = "refused_there"  # it says the same of us
    LOST = "lost"  # there was one


class Sign(enum.Enum):
    """What can happen to a node in one of its incarnations.  A new incarnation begins again in JOINING."""

    HEARD = "heard"
    LINKED = "linked"
    SILENT = "silent"
    GIVEN_UP = "given up"
    DRAIN_BEGAN = "drain began"
    DRAIN_ENDED = "drain ended"
    STOPPED_IN_ORDER = "stopped in order"


# DRAINING outlasts a short silence: nothing is placed there anyway, and forgetting the intent would
# be worse.  Beats that were under way when a node said goodbye do not bring it back; a new link
# does.  JOINING knows no suspicion: there was no trust to lose.  Only a node that is up can begin
# to drain.
TRANSITIONS: Final[dict[NodeState, dict[Sign, NodeState]]] = {
    NodeState.JOINING: {
        Sign.HEARD: NodeState.UP,
        Sign.LINKED: NodeState.UP,
        Sign.SILENT: NodeState.JOINING,
        Sign.GIVEN_UP: NodeState.DOWN,
        Sign.DRAIN_BEGAN: NodeState.JOINING,
        Sign.DRAIN_ENDED: NodeState.JOINING,
        Sign.STOPPED_IN_ORDER: NodeState.LEFT,
    },
    NodeState.UP: {
        Sign.HEARD: NodeState.UP,
        Sign.LINKED: NodeState.UP,
        Sign.SILENT: NodeState.SUSPECT,
        Sign.GIVEN_UP: NodeState.DOWN,
        Sign.DRAIN_BEGAN: NodeState.DRAINING,
        Sign.DRAIN_ENDED: NodeState.UP,
        Sign.STOPPED_IN_ORDER: NodeState.LEFT,
    },
    NodeState.SUSPECT: {
        Sign.HEARD: NodeState.UP,
        Sign.LINKED: NodeState.UP,
        Sign.SILENT: NodeState.SUSPECT,
        Sign.GIVEN_UP: NodeState.DOWN,
        Sign.DRAIN_BEGAN: NodeState.DRAINING,
        Sign.DRAIN_ENDED: NodeState.SUSPECT,
        Sign.STOPPED_IN_ORDER: NodeState.LEFT,
    },
    NodeState.DOWN: {
        Sign.HEARD: NodeState.UP,
        Sign.LINKED: NodeState.UP,
        Sign.SILENT: NodeState.DOWN,
        Sign.GIVEN_UP: NodeState.DOWN,
        Sign.DRAIN_BEGAN: NodeState.DOWN,
        Sign.DRAIN_ENDED: NodeState.DOWN,
        Sign.STOPPED_IN_ORDER: NodeState.LEFT,
    },
    NodeState.DRAINING: {
        Sign.HEARD: NodeState.DRAINING,
        Sign.LINKED: NodeState.DRAINING,
        Sign.SILENT: NodeState.DRAINING,
        Sign.GIVEN_UP: NodeState.DOWN,
        Sign.DRAIN_BEGAN: NodeState.DRAINING,
        Sign.DRAIN_ENDED: NodeState.UP,
        Sign.STOPPED_IN_ORDER: NodeState.LEFT,
    },
    NodeState.LEFT: {
        Sign.HEARD: NodeState.LEFT,
        Sign.LINKED: NodeState.UP,
        Sign.SILENT: NodeState.LEFT,
        Sign.GIVEN_UP: NodeState.LEFT,
        Sign.DRAIN_BEGAN: NodeState.LEFT,
        Sign.DRAIN_ENDED: NodeState.LEFT,
        Sign.STOPPED_IN_ORDER: NodeState.LEFT,
    },
}
assert set(TRANSITIONS) == set(NodeState)
assert all(set(row) == set(Sign) for row in TRANSITIONS.values()), "every sign may come at any time"

# States in which a node is believed to hold what it held and to answer.
LIVE_STATES: Final = frozenset({NodeState.UP, NodeState.SUSPECT, NodeState.DRAINING})
# States in which nothing answers until ramsterd is started there, or is heard again.
ENDED_STATES: Final = frozenset({NodeState.DOWN, NodeState.LEFT})


def may_place(state: NodeState) -> bool:
    """Whether new pages may be sent to a node in this state."""
    return state is NodeState.UP


def may_fetch(state: NodeState) -> bool:
    """Whether asking for pages in this state is worth a request.

    A suspect is still asked: most suspicions end well, and a request to it costs one deadline at
    most.
    """
    return state in LIVE_STATES


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure detector now believes of a node.

    It stands here, not beside the detector, because the node table reads it and may not import
    `heartbeat`.
    """

    node: NodeId
    state: NodeState  # UP, SUSPECT or DOWN
    incarnation: Incarnation | None  # None: never heard
    reason: str
    # Which node reported it; None: this node found out itself.
    reporter: NodeId | None = None

    def __post_init__(self) -> None:
        """Check that this is a state a detector may speak of."""
        assert self.state in SIGN_OF_VERDICT, self.state
        assert self.incarnation is not None or self.state is NodeState.DOWN


SIGN_OF_VERDICT: Final = {
    NodeState.UP: Sign.HEARD,
    NodeState.SUSPECT: Sign.SILENT,
    NodeState.DOWN: Sign.GIVEN_UP,
}
