"""Peer states: links, verdicts, members and incarnations, and what their changes mean for pages.

A peer without a link keeps what it has: its copies do not count until it can be asked again.  An
incarnation that has ended has lost all that it held, and what it owned goes.
"""

from typing import Final

from config.model import ClusterConfig
from nodemanager.events import NodeEvent
from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import show_ended
from nodemanager.states import NodeState, Verdict
from nodemanager.table import PeerStatus
from ramsterd.core.page import PoolId
from ramsterd.pagepath.effects import CloseLink
from ramsterd.pagepath.machines import Machines
from ramsterd.remote.holders.holders import Holder

# No incarnation has it, so every incarnation of a node is older: it ends whatever is known.
NO_INCARNATION: Final = Incarnation(-1)


class PeerStates:
    """Tells the machines of the page path what became of peers."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._nodes = machines.nodes
        self._holders = machines.holders
        self._events: list[NodeEvent] = []
        # Peers that gave up their own pages: what follows on the link is its end, in order.
        self._departing: set[NodeId] = set()

    def _publish(self, events: list[NodeEvent]) -> None:
        self._events += events

    def take_events(self) -> list[NodeEvent]:
        """Return what happened to nodes since the last call."""
        events, self._events = self._events, []
        return events

    # Kept pages.

    def resume(self, now: float) -> None:
        """Nobody is linked yet: those who hold our pages are awaited, and all else goes on as it was left."""
        machines = self._machines
        living = {each.node: each.incarnation for each in self._holders if not each.is_dead}
        for incarnations in (living, machines.foreign.incarnations()):
            for node, incarnation in incarnations.items():
                if node in self._nodes:
                    self._nodes.adopt(node, incarnation)
        for node in machines.foreign.owners():
            known = self._nodes.incarnation(node) if node in self._nodes else None
            if known is None:
                machines.foreign.purge(node)
            else:
                machines.foreign.on_owner_seen(node, known)
        for holder in list(self._holders):
            self._resume_holder(holder, now)

    def _resume_holder(self, holder: Holder, now: float) -> None:
        """Await a holder, unless it is known that it has ended or left."""
        if holder.is_dead:
            self._machines.store.copies.on_unreachable(holder.id)
            self._machines.sweeps.begin(holder)
            return
        known = self._nodes.incarnation(holder.node) if holder.node in self._nodes else None
        if known == holder.incarnation:
            self._on_absent(holder, now)
        else:
            self._bury(self._holders.bury(holder.node, NO_INCARNATION))

    # Links.

    def on_link_up(
        self,
        node: NodeId,
        incarnation: Incarnation,
        attach_count: int,
        now: float,
        *,
        is_eager: bool,
    ) -> None:
        """A link to a peer is open."""
        if self._nodes.is_stale(node, incarnation):
            self._machines.outbox.add(
                CloseLink(node, show_ended(self._nodes.name(node), incarnation))
            )
            return
        self._publish(self._nodes.on_link_up(node, incarnation, now=now))
        self._on_incarnation_seen(node, incarnation)
        self._holders.on_link_up(node, attach_count)
        if (holder := self._holders.living(node)) is not None:
            self._on_reachable(holder)
            self._machines.reconciler.on_link_up(holder, now)
        self._machines.orphans.call_off(node)
        self._machines.flushes.on_link_up(now)
        self._machines.status.on_link_up(node, now, is_eager=is_eager)

    def on_departing(self, node: NodeId) -> None:
        """A peer gave up its own pages, as only an incarnation that ends does."""
        self._departing.add(node)

    def on_link_lost(self, node: NodeId, incarnation: Incarnation, now: float) -> None:
        """The link is gone; its requests have failed before this."""
        machines = self._machines
        holder = self._holders.living(node)
        if holder is not None and holder.incarnation == incarnation:
            machines.flushes.owed.on_link_lost(holder.id)
            if node in self._departing or machines.reach.is_given_up(holder):
                self._on_unreachable(holder)
            else:
                self._on_absent(holder, now)
        self._publish(self._nodes.on_link_lost(node, incarnation, now=now))
        machines.remotifier.on_link_lost(node)
        machines.page_lists.on_link_lost(node)
        if node in self._departing:
            self._departing.discard(node)
            self._publish(self._nodes.on_goodbye(node, incarnation, now=now))
            if holder is not None:
                machines.fetches.on_holder_unreachable(holder.id)
        self._expect_orphans(node, now)

    def _on_unreachable(self, holder: Holder) -> None:
        """A holder is given up: its copies do not count, and what that puts at risk is to be found."""
        self._doubt(holder)
        self._machines.sweeps.begin(holder)

    def _on_absent(self, holder: Holder, now: float) -> None:
        """A holder has no link: it may be back in a moment, with all that it kept."""
        self._doubt(holder)
        self._machines.sweeps.expect(holder, now)

    def _doubt(self, holder: Holder) -> None:
        """No copy here is given up for one at this holder, and what it asked for is void."""
        self._machines.store.copies.on_unreachable(holder.id)
        self._machines.background_fetch.owner_recall.on_holder_unreachable(holder.id)

    def _on_reachable(self, holder: Holder) -> None:
        self._machines.store.copies.on_reachable(holder.id)
        self._machines.replicator.on_reachable(holder.id)
        self._machines.sweeps.call_off(holder)
        self._machines.fetches.unpark()

    def _expect_orphans(self, node: NodeId, now: float) -> None:
        """Purge an owner after a while.

        One whose link is open is alive, whatever its heartbeats say.
        """
        if self._nodes.state(node) is NodeState.DOWN and not self._nodes.is_linked(node):
            self._machines.orphans.expect(node, now)

    # Verdicts.

    def on_verdict(self, verdict: Verdict, now: float) -> None:
        """The failure detector judged a node."""
        fetches, node = self._machines.fetches, verdict.node
        self._publish(self._nodes.on_verdict(verdict, now=now))
        if verdict.incarnation is not None:
            self._on_incarnation_seen(node, verdict.incarnation)
        holder = self._holders.living(node)
        if self._nodes.state(node) is NodeState.SUSPECT and holder is not None:
            fetches.on_holder_suspect(holder.id)
        if self._nodes.state(node) is NodeState.DOWN:
            self._expect_orphans(node, now)
            if holder is not None:
                fetches.on_holder_unreachable(holder.id)
                self._on_unreachable(holder)
        elif verdict.state is NodeState.UP:
            self._machines.orphans.call_off(node)
            if holder is not None and self._nodes.is_linked(node):
                self._on_reachable(holder)

    # What a peer says of itself.

    def on_status(self, node: NodeId, status: PeerStatus, now: float) -> None:
        """A peer told how much room it has, and how many pages of ours."""
        before = self._nodes.status(node)
        if status == before:
            self._machines.status.on_repeated(now)
        self._publish(self._nodes.on_status(node, status, now=now))
        self._machines.remotifier.on_status(node, status)
        has_more_room = before is None or status.free_bytes > before.free_bytes
        if has_more_room and self._nodes.is_linked(node):
            self._machines.remotifier.candidates.on_more_room(node)
        if status.pages_held_for_us:
            self._machines.trust.on_some_held(node)
        else:
            self._on_none_held(node, now, is_first=before is None)

    def is_settled_with(self, node: NodeId, status: PeerStatus) -> bool:
        """Whether `on_status` has nothing to do for a peer that says the same again."""
        machines, holder = self._machines, self._holders.living(node)
        if not status.pages_held_for_us and holder is not None and holder.pages:
            return False
        is_proof = machines.trust.is_to_say_what_it_holds(node)
        return not is_proof and machines.remotifier.is_settled_with(node, status)

    def _on_none_held(self, node: NodeId, now: float, *, is_first: bool) -> None:
        """A peer keeps nothing of what we count there: it has purged us, as it does after `orphan_seconds`.

        Links keep order: whatever an answer has told us was stored before this STATUS was written.
        A PUT without an answer may still arrive after it, so what was sent and not answered is owed
        a flush.  A peer purges only us whom it has no link to, and says so on the next one at once.
        If it says so later, it lost what it had said it stored on this very link.
        """
        machines = self._machines
        holder = self._holders.living(node)
        if machines.is_leaving or holder is None or not holder.pages:
            return
        if machines.remotifier.has_put_to(node):
            return
        if not self._holders.has_free_id(node):
            return  # it gets nothing new, and each page is found to be missing by itself
        unsure = machines.remotifier.sent_serials(holder.id)
        if not is_first:
            holder.is_disowning = True
            machines.trust.on_disowning(node)
        ended = self._holders.end(node)
        if unsure or machines.flushes.owed.has_any_for(ended.id):
            anew = self._holders.of(node, ended.incarnation)
            machines.flushes.move(ended, anew, unsure, now)
        self._bury(ended)

    # Incarnations and members.

    def _on_incarnation_seen(self, node: NodeId, incarnation: Incarnation) -> None:
        """A newer incarnation ends the older one: its pages here go, and what it held of ours is lost."""
        if self._nodes.is_stale(node, incarnation):
            return
        self._machines.foreign.on_owner_seen(node, incarnation)
        self._bury(self._holders.bury(node, incarnation))

    def _bury(self, dead: Holder | None) -> None:
        """Begin to lose what an incarnation held that has ended."""
        if dead is None:
            return
        machines = self._machines
        # From here on no clean copy of what it had is dropped; the sweep makes them ours alone.
        machines.store.copies.on_unreachable(dead.id)
        machines.flushes.owed.forget(dead.id)
        machines.background_fetch.owner_recall.on_holder_unreachable(dead.id)
        machines.remotifier.on_holder_dead(dead.id)
        machines.trust.on_incarnation_over(dead.node)
        machines.fetches.on_holder_dead(dead.id)
        machines.reconciler.on_holder_dead(dead.id)
        machines.sweeps.begin(dead)

    def on_members(self, cluster: ClusterConfig, now: float) -> list[NodeId]:
        """Members were added, removed, cordoned or are to drain.

        Return the peers that are none any more.
        """
        gone = self._nodes.on_members(cluster)
        self._publish(self._nodes.on_intents(now=now))
        if self._machines.pool_copies.on_members(cluster):
            self._find_at_risk()
        return gone

    def on_copies_wanted(self, pool: PoolId) -> None:
        """A pool was opened: of one that an earlier process left, nobody knows yet which pages have too few copies."""
        opened = self._machines.store.pools[pool]
        if opened.objects and opened.copies > 1:
            self._find_at_risk()

    def _find_at_risk(self) -> None:
        """More copies are wanted than what has left may have."""
        for holder in self._holders:
            if not holder.is_dead:
                self._machines.sweeps.begin(holder, is_absent=False)

    def on_member_removed(self, node: NodeId) -> None:
        """A node is no member any more, and its link is gone: what it held is lost, what it owned goes."""
        self._machines.foreign.purge(node)
        self._bury(self._holders.bury(node, NO_INCARNATION))
        self._machines.orphans.call_off(node)
        self._departing.discard(node)
        self._machines.remotifier.forget(node)
        self._publish(self._nodes.forget(node))
