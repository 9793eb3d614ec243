"""Refusal backoff: a peer that refused or did not answer a PUT gets none for a while.

Each further refusal doubles the time, up to `DOUBLED_MAX` times: a peer may tell that it has room
and yet find none for our blocks.
A stored page ends the backoff.
A STATUS with more room than before ends the present wait.

A peer that did not answer a PUT is doubtful until its next STATUS, and gets nothing.
A peer that sends its STATUS and answers no PUT gets longer and longer backoffs, too.
It is owed a flush of all that it was sent, and this debt must not grow for ever.
"""

from typing import Final

from nodemanager.ids import NodeId
from ramsterd.remote.limits.backoff import Backoff

# From 1 s, the default of `refusal_seconds`, to 16 s.
DOUBLED_MAX: Final = 4
# After silence, from 1 s to 17 minutes: what nobody answers leaves a flush that nothing proves.
SILENCE_SECONDS: Final = 1.0
SILENCE_DOUBLED_MAX: Final = 10


class RefusalBackoff:
    """Refusals and unanswered PUTs, by peer."""

    def __init__(self, refusal_seconds: float) -> None:
        self._refusal_seconds = refusal_seconds
        self._refusals: dict[NodeId, Backoff] = {}
        # Those whose present wait is over before its time.
        self._has_more_room: set[NodeId] = set()
        # PUTs without an answer, in a row.
        self._silences: dict[NodeId, Backoff] = {}
        self._unanswered: set[NodeId] = set()
        # Of these, all whose STATUS may have been written before the PUT arrived.
        self._unsettled: set[NodeId] = set()

    def on_refused(self, node: NodeId, now: float) -> float:
        """A peer refused pages; return until when it is left alone.

        Frames that were under way together are refused together: they are one refusal.
        """
        backoff = self._refusals.get(node)
        if backoff is None:
            backoff = self._refusals[node] = Backoff(self._refusal_seconds, DOUBLED_MAX)
        backoff.fail(now)
        self._has_more_room.discard(node)
        return backoff.until

    def on_more_room(self, node: NodeId) -> None:
        """A peer has more room than when it refused: it need not be left alone any longer, this time."""
        self._has_more_room.add(node)

    def on_stored(self, node: NodeId) -> None:
        """A peer stored pages of ours."""
        if (backoff := self._refusals.get(node)) is not None:
            backoff.failures = 0
        self._silences.pop(node, None)
        self._unsettled.discard(node)
        self.on_heard(node)

    def on_link_lost(self, node: NodeId) -> None:
        """What a peer says on its next link it says after all that came by this one."""
        self._unsettled.discard(node)

    def forget(self, node: NodeId) -> None:
        """A peer is no member any more."""
        self._refusals.pop(node, None)
        self._has_more_room.discard(node)
        self._silences.pop(node, None)
        self._unanswered.discard(node)
        self._unsettled.discard(node)

    def on_unanswered(self, node: NodeId, now: float) -> None:
        """Nobody knows what became of a PUT.  Those that were under way together count once."""
        backoff = self._silences.get(node)
        if backoff is None:
            backoff = self._silences[node] = Backoff(SILENCE_SECONDS, SILENCE_DOUBLED_MAX)
        backoff.fail(now)
        self._unanswered.add(node)
        self._unsettled.add(node)

    def on_heard(self, node: NodeId) -> None:
        """A peer told its status, so it works."""
        self._unanswered.discard(node)

    def refused_until(self, node: NodeId) -> float:
        """Return until when a peer is left alone.

        0 when it did not refuse, or has more room since.
        """
        backoff = self._refusals.get(node)
        return 0.0 if backoff is None or node in self._has_more_room else backoff.until

    def refusals(self) -> dict[NodeId, float]:
        """Return who refused lately, and until when each is left alone."""
        return {node: self.refused_until(node) for node in self._refusals}

    def silent_until(self, node: NodeId) -> float:
        """Return until when a peer that did not answer is left alone; 0 when it did."""
        backoff = self._silences.get(node)
        return 0.0 if backoff is None else backoff.until

    def is_unsettled(self, node: NodeId) -> bool:
        """Whether a PUT that was given up may still arrive at a peer, after the STATUS that we have."""
        return node in self._unsettled

    def is_doubtful(self, node: NodeId) -> bool:
        """Whether a peer left a PUT unanswered and was not heard since."""
        return node in self._unanswered

    def awaits_answer(self, node: NodeId) -> bool:
        """Whether either is so."""
        return node in self._unanswered or node in self._unsettled
