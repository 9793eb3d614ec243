"""One consistent snapshot of the page path: what all machines of the engine count."""

from dataclasses import dataclass

from nodemanager.ids import Incarnation, NodeId
from nodemanager.table import TableStatistics
from ramsterd.core.audit import AuditStatistics
from ramsterd.core.counters import StoreStatistics
from ramsterd.core.resize import ResizeStatistics
from ramsterd.core.scrub import ScrubStatistics
from ramsterd.remote.fetch.fetch import FetchStatistics
from ramsterd.remote.hold.foreign import ForeignStatistics
from ramsterd.remote.hold.recall_holder import HolderRecallStatistics
from ramsterd.remote.holders.trust import TrustStatistics
from ramsterd.remote.home.rebuild import RebuildStatistics
from ramsterd.remote.home.recall_owner import OwnerRecallStatistics
from ramsterd.remote.home.repatriate import RepatriateStatistics
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
    repatriate: RepatriateStatistics
    rebuild: RebuildStatistics
    recall: HolderRecallStatistics
    owner_recall: OwnerRecallStatistics
    replicate: ReplicateStatistics
    resize: ResizeStatistics
    scrub: ScrubStatistics
    audit: AuditStatistics
    compacted_total: int
    foreign: tuple[ForeignStatistics, ...]
    foreign_zpage_bytes: int
    foreign_purged_total: int
    holders: tuple[HolderStatistics, ...]
    trust: dict[NodeId, TrustStatistics]
    # Pages that peers were asked for only to see whether they keep them, and those without an answer.
    spot_checks_total: int
    spot_checks_unanswered_total: int
    flushes_owed: int
    is_accepting: bool
