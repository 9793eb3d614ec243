"""Machines: all that decides about the pages of one node, made and wired to each other.

This is the composition root of the page path.  What drives the machines stands elsewhere: peers
(`peer_frames`, `peer_states`), the clock (`clock`), the end of each pass (`settling`), and front
ends (`engine`).
"""

import random

from config.model import ClusterConfig, DaemonConfig, MemoryConfig
from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import NodeTable
from ramsterd.core.audit import Auditor
from ramsterd.core.compact import Compactor
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.resize import Resize
from ramsterd.core.scrub import Scrubber
from ramsterd.core.slices import Slices
from ramsterd.core.versions import StoreLimits
from ramsterd.pagepath.flush_sending import FlushSending
from ramsterd.pagepath.kept_pages import KeptPages
from ramsterd.pagepath.outbox import Outbox
from ramsterd.pagepath.own_status import OwnStatus
from ramsterd.remote.bench_requests import BenchRequests
from ramsterd.remote.fetch.fetch import Fetches
from ramsterd.remote.fetch.read_ahead import ReadAhead
from ramsterd.remote.fetch.spot_checks import SpotChecks
from ramsterd.remote.hold.foreign import ForeignPages
from ramsterd.remote.hold.orphans import Orphans
from ramsterd.remote.hold.page_lists import PageLists
from ramsterd.remote.hold.recall_holder import HolderRecall
from ramsterd.remote.hold.receive_shares import ReceiveShares
from ramsterd.remote.holders.holders import Holder, Holders
from ramsterd.remote.holders.reach import Reach
from ramsterd.remote.holders.reconcile import Reconciler
from ramsterd.remote.holders.row_sweeps import RowSweeps
from ramsterd.remote.holders.trust import BadCopy, Trust
from ramsterd.remote.home.background_fetch import BackgroundFetch
from ramsterd.remote.home.last_copies import LastCopies
from ramsterd.remote.home.surroundings import Surroundings
from ramsterd.remote.limits.put_timeout import PutTimeout
from ramsterd.remote.limits.round_trips import RoundTrips
from ramsterd.remote.send.degrade import Degrade
from ramsterd.remote.send.pool_copies import PoolCopies
from ramsterd.remote.send.remotify import Remotifier
from ramsterd.remote.send.replicate import Replicator


class Machines:
    """See the module's text."""

    def __init__(
        self,
        *,
        daemon: DaemonConfig,
        cluster: ClusterConfig,
        local: NodeId,
        incarnation: Incarnation,
        rng: random.Random,
        kept: KeptPages,
    ) -> None:
        self.memory, self.remote = daemon.memory, daemon.remote
        remote = daemon.remote
        # An orderly stop has begun: nobody will ask for our pages again, and peers forget us.
        self.is_leaving = False
        self.store = store = kept.store
        store.room.set_reserve(daemon.reserve_bytes)
        self.nodes = NodeTable(cluster, local, incarnation=incarnation)
        self.outbox = Outbox(request_seconds_max=remote.request_seconds_max)
        # Long work, of which each pass does a slice.
        self.slices = Slices()
        self.compactor = Compactor(store.versions)
        self.scrubber = Scrubber(store.versions)
        self.auditor = Auditor(store.versions)
        self.resize = Resize(store.room)
        # Who keeps our pages.
        self.holders = Holders(kept.holder_journal)
        self.trust = Trust()
        self.reach = Reach(self.holders, self.nodes)
        self.flushes = FlushSending(store, self.holders, self.nodes, self.outbox)
        # What we keep for others.
        self.foreign = self._new_foreign()
        self.round_trips = RoundTrips()
        self.orphans = Orphans(orphan_seconds=remote.orphan_seconds, purge=self.foreign.purge)
        self.recall = HolderRecall(store, self.foreign)
        self.receive_shares = ReceiveShares(remote.foreign_bytes_per_second)
        self.status = OwnStatus(
            store, self.nodes, self.foreign, self.receive_shares, self.outbox,
            probe_seconds=cluster.timers.probe_seconds,
        )  # fmt: skip
        # Foreign pages, pages that leave, and pages that are fetched back.
        self.pool_copies = PoolCopies(store, cluster, configured=remote.copies)
        self.read_ahead = ReadAhead(store, bytes_max=remote.read_ahead_bytes_max)
        self.fetches = self._new_fetches()
        self.spot_checks = SpotChecks(
            store.rows, self.trust, rng=rng, on_bad_copy=self.fetches.on_bad_copy
        )
        self.remotifier = self._new_remotifier(rng)
        self.replicator = Replicator(store, run=self.slices.add)
        self.background_fetch = self._new_background_fetch()
        self.last_copies = LastCopies(
            store.room,
            self.holders,
            local=local,
            is_reachable=self.reach.is_reachable,
            is_sending_to=self.remotifier.is_sending_to,
        )
        self.page_lists = PageLists(
            store, self.foreign, run=self.slices.add, answer=self.outbox.reply_list
        )
        self.reconciler = Reconciler(
            store.room,
            self.holders,
            run=self.slices.add,
            owe=self.flushes.owe_unknown,
            is_linked=self.nodes.is_linked,
            is_behind=self.flushes.is_behind,
            on_thinned=self.on_thinned,
        )
        # Pages that are sent to be measured: nobody else knows of them.
        self.bench = BenchRequests()
        self.sweeps = RowSweeps(
            store.room,
            store.copies,
            self.holders,
            on_thinned=self.on_thinned,
            on_forgotten=self._on_forgotten,
        )
        self._take_up(kept)

    def _take_up(self, kept: KeptPages) -> None:
        """Go on with what an earlier process had: who holds our pages, and whose pages we hold."""
        for each in kept.holders:
            node, incarnation = NodeId(each.node), Incarnation(each.incarnation)
            pages = kept.holder_pages.get(each.holder, 0)
            self.holders.adopt(each.holder, node, incarnation, is_dead=each.is_ended, pages=pages)
        self.remotifier.ephemeral.adopt(kept.ephemeral_rows)
        self.foreign.adopt()

    def _new_foreign(self) -> ForeignPages:
        return ForeignPages(
            self.store,
            run=self.slices.add,
            bytes_fraction_max=self.memory.foreign_fraction_max,
            owner_pages_max=self.memory.foreign_owner_bytes_max // PAGE_BYTES,
        )

    def _new_fetches(self) -> Fetches:
        return Fetches(
            self.store,
            self.holders,
            in_flight_max=self.remote.gets_in_flight_max,
            read_ahead=self.read_ahead,
            is_reachable=self.reach.is_reachable,
            may_come_back=self.reach.may_come_back,
            on_thinned=self.on_thinned,
            on_bad_holder=self._on_bad_holder,
        )

    def _new_remotifier(self, rng: random.Random) -> Remotifier:
        remote = self.remote
        return Remotifier(
            self.store,
            self.holders,
            self.nodes,
            trust=self.trust,
            spot_checks=self.spot_checks,
            in_flight_max=remote.puts_in_flight_max,
            refusal_seconds=remote.refusal_seconds,
            put_timeout=PutTimeout(
                put_wait_seconds_max=remote.put_wait_seconds_max,
                request_seconds_max=remote.request_seconds_max,
            ),
            degrade=Degrade(put_wait_seconds_max=remote.put_wait_seconds_max),
            rng=rng,
            sends_ephemeral=remote.ephemeral,
            is_behind=self.flushes.is_behind,
        )

    def _new_background_fetch(self) -> BackgroundFetch:
        surroundings = Surroundings(
            copies_at=self.reach.copies_at,
            placeable_nodes=self.reach.placeable_nodes,
            room=self.remotifier.room,
            make_room=self.remotifier.make_room,
        )
        return BackgroundFetch(self.store, self.fetches, surroundings, self.remote)

    # What one machine tells another.

    def on_thinned(self, row: int) -> None:
        """A row may have too few copies."""
        self.background_fetch.rebuilder.note_if_at_risk(row)

    def _on_bad_holder(self, holder_id: int, kind: BadCopy, now: float) -> None:
        """A holder does not have a page that it stored, or not intact."""
        if self.is_leaving:
            return  # it forgets us, as we asked
        if (holder := self.holders.get(holder_id)) is not None:
            self.trust.on_bad(holder.node, kind, 1, now)

    def _on_forgotten(self, holder: Holder, persistent: int, now: float) -> None:
        """An incarnation is over, and all that it held was looked at."""
        if holder.is_disowning:
            self.trust.on_disowned(holder.node, persistent, now)

    @property
    def is_draining(self) -> bool:
        """Whether this node gives back what it keeps for others, and brings its own pages home."""
        return self.nodes.local_config.draining

    def check_invariants(self) -> None:
        """Assert what must be true between calls.  Walks everything."""
        self.store.check_invariants()
        self.nodes.check_invariants()
        self.fetches.check_invariants()
        self.read_ahead.check_invariants()
        self.remotifier.check_invariants()


def limits_of(memory: MemoryConfig) -> StoreLimits:
    """Return what the config says of the store."""
    # Plain numbers: a Share is compared more slowly.
    return StoreLimits(
        budget_bytes=int(memory.budget),
        budget_bytes_max=int(memory.budget_max or 4 * memory.budget),
        pages_max=memory.pages_max,
        tables_bytes_max=memory.tables_bytes(memory.budget),
        high_watermark=memory.high_watermark,
        low_watermark=memory.low_watermark,
    )
