"""Which incarnations of other nodes are believed: those that a link has shown.  Pure.

A new incarnation of a node ends the old one: what was kept for it goes, and what it held counts as
lost.  Heartbeats speak of incarnations too, also of other nodes', and their key is shared by all;
so any member could end any other's incarnation by one line of gossip.  A link proves who is at its
other end, and nobody serves or loses a page without one.  So the detector may say whether an
incarnation that we know is there, and not that there is another.
"""

from nodemanager.ids import Incarnation
from nodemanager.states import NodeState, Verdict


def believed(verdict: Verdict, *, known: Incarnation | None, is_linked: bool) -> Verdict | None:
    """Return what a verdict says of the incarnation that links have shown (None: of none yet), or None: nothing."""
    if verdict.incarnation is None or (known is not None and verdict.incarnation <= known):
        return verdict
    if is_linked or verdict.state is NodeState.UP:
        return None  # the link will tell
    if known is not None:
        return Verdict(verdict.node, verdict.state, known, verdict.reason)
    if verdict.state is NodeState.DOWN:
        return Verdict(verdict.node, verdict.state, None, verdict.reason)
    return None
