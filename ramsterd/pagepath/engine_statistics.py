"""One consistent snapshot of the page path: what all machines of the engine count."""

from dataclasses import dataclass

from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import TableStatistics
from ramsterd.core.audit import AuditStatistics
from ramsterd.core.counters import StoreStatistics
from ramsterd.core.resize import ResizeStatistics
from ramsterd.core.scrub import ScrubStatistics
from ramsterd.pagepath.machines import Machines
from ramsterd.remote.fetch.read_ahead import ReadAheadStatistics
from ramsterd.remote.fetch.statistics import FetchStatistics
from ramsterd.remote.hold.foreign import ForeignStatistics
from ramsterd.remote.hold.recall_holder import HolderRecallStatistics
from ramsterd.remote.holders.reconcile import ReconcileStatistics
from ramsterd.remote.holders.trust import TrustStatistics
from ramsterd.remote.home.rebuild import RebuildStatistics
from ramsterd.remote.home.recall_owner import OwnerRecallStatistics
from ramsterd.remote.home.repatriate import RepatriateStatistics
from ramsterd.remote.limits.round_trips import RoundTripStatistics
from ramsterd.remote.send.remotify import RemotifyStatistics
from ramsterd.remote.send.replicate import ReplicateStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderStatistics:
    """How many pages of ours one incarnation of a node keeps."""

    node: NodeId
    incarnation: Incarnation
    is_dead: bool
    pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatistics:
    """See the module's text."""

    store: StoreStatistics
    nodes: TableStatistics
    remotify: RemotifyStatistics
    fetch: FetchStatistics
    read_ahead: ReadAheadStatistics
    round_trip: RoundTripStatistics
    repatriate: RepatriateStatistics
    rebuild: RebuildStatistics
    holder_recall: HolderRecallStatistics
    owner_recall: OwnerRecallStatistics
    replicate: ReplicateStatistics
    reconcile: ReconcileStatistics
    resize: ResizeStatistics
    scrub: ScrubStatistics
    audit: AuditStatistics
    compacted_zpages_total: int
    foreign: tuple[ForeignStatistics, ...]
    foreign_zpage_bytes: int
    # What this node would take of pages of others now.
    foreign_room_bytes: int
    foreign_purged_pages_total: int
    remote: tuple[HolderStatistics, ...]
    trust: dict[NodeId, TrustStatistics]
    # Pages that peers were asked for only to see whether they keep them, and those without an
    # answer.
    judged_spot_checks_total: int
    unanswered_spot_checks_total: int
    flushes_owed: int
    is_accepting: bool
    # On how many peers a page is kept that is not here, in an export or pool that says nothing of
    # it.
    default_copies: int


def snapshot(machines: Machines, now: float) -> EngineStatistics:
    """Return what all machines count now."""
    background_fetch = machines.background_fetch
    unswept_pages = sum(holder.pages for holder in machines.holders if holder.is_unswept)
    return EngineStatistics(
        store=machines.store.statistics(),
        nodes=machines.nodes.statistics(),
        remotify=machines.remotifier.statistics(),
        fetch=machines.fetches.statistics(),
        read_ahead=machines.read_ahead.statistics(),
        round_trip=machines.round_trips.statistics(),
        repatriate=background_fetch.repatriator.statistics(),
        rebuild=background_fetch.rebuilder.statistics(
            unswept_pages, is_counting=machines.sweeps.is_counting
        ),
        holder_recall=machines.recall.statistics(),
        owner_recall=background_fetch.owner_recall.statistics(),
        replicate=machines.replicator.statistics(),
        reconcile=machines.reconciler.statistics(),
        resize=machines.resize.statistics(),
        scrub=machines.scrubber.statistics(),
        audit=machines.auditor.statistics(),
        compacted_zpages_total=machines.compactor.moved_total,
        foreign=machines.foreign.statistics(),
        foreign_zpage_bytes=machines.foreign.zpage_bytes,
        foreign_room_bytes=machines.foreign.room_bytes(),
        foreign_purged_pages_total=machines.foreign.purged_total,
        remote=tuple(
            HolderStatistics(
                node=each.node,
                incarnation=each.incarnation,
                is_dead=each.is_dead,
                pages=each.pages,
            )
            for each in machines.holders
        ),
        trust=machines.trust.statistics(now),
        judged_spot_checks_total=machines.spot_checks.judged_total,
        unanswered_spot_checks_total=machines.spot_checks.unanswered_total,
        flushes_owed=machines.flushes.owed.count(),
        is_accepting=machines.status.is_accepting,
        default_copies=machines.pool_copies.wanted(0),
    )
