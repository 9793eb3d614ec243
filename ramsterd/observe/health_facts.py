"""What of a snapshot health is judged from.  Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from config.model import KeepMemory
from nodemanager.ids import NodeId
from nodemanager.states import LinkState, may_place
from nodemanager.table import NodeRow
from ramsterd.asking.comparer import PeerReport
from ramsterd.core.family import Family
from ramsterd.core.resize import ResizeState
from ramsterd.health.facts import (
    DamageFacts,
    Facts,
    FileFacts,
    KeptOut,
    LateJob,
    MemoryFacts,
    PageFacts,
    PeerFacts,
    ProcessFacts,
)
from ramsterd.host.protection import OOM_SCORE_MIN
from ramsterd.jobs.work import LIVE_STATES, JobKind, JobState
from ramsterd.observe.loop_watch import BUCKETS, WARN_SECONDS
from ramsterd.observe.snapshot import DaemonStatistics
from ramsterd.remote.holders.trust import BadCopy

# Pages of these may go without being lost.
DROPPABLE: Final = (Family.OWN_CLEAN, Family.OWN_EPHEMERAL, Family.FOREIGN_EPHEMERAL)
_LONG_BUCKETS: Final = BUCKETS.index(WARN_SECONDS) + 1


def facts_of(now: DaemonStatistics) -> Facts:
    """Return them."""
    return Facts(
        node=now.node,
        version=now.version,
        peers=tuple(_peers(now)),
        pages=_pages(now),
        damage=_damage(now),
        memory=_memory(now),
        process=_process(now),
        files=_files(now),
        late_jobs=tuple(_late_jobs(now)),
        kept_out=tuple(_kept_out(now)),
    )


def _late_jobs(now: DaemonStatistics) -> Iterator[LateJob]:
    for job in now.jobs.jobs:
        if job.state is JobState.OVERDUE:
            yield LateJob(
                name=job.id,
                what=job.what,
                seconds=-(job.seconds_to_deadline or 0.0),
                left=(job.total or 0) - job.done,
                noun=job.noun,
                waits_for=job.waits_for,
            )


def _kept_out(now: DaemonStatistics) -> Iterator[KeptOut]:
    for row in now.engine.nodes.nodes:
        config = row.config
        if not (config.cordoned or config.draining):
            continue
        drains = {
            job.state
            for job in now.jobs.jobs
            if job.kind is JobKind.DRAIN and job.node == config.name
        }
        yield KeptOut(
            name=config.name,
            is_draining=config.draining,
            is_drained=_is_drained(drains),
            began=_date(config.drain_began_at),
            reason=config.drain_reason,
        )


def _date(timestamp_seconds: int) -> str:
    if not timestamp_seconds:
        return ""
    return f"{datetime.fromtimestamp(timestamp_seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _is_drained(drains: set[JobState]) -> bool | None:
    """Return whether a drain is over, by the states of all that there were; old ones are forgotten."""
    if not drains.isdisjoint(LIVE_STATES):
        return False
    return True if JobState.DONE in drains else None


def _peers(now: DaemonStatistics) -> Iterator[PeerFacts]:
    pages: dict[int, int] = {}
    for holder in now.engine.remote:
        if not holder.is_dead:
            pages[holder.node] = pages.get(holder.node, 0) + holder.pages
    for row in now.engine.nodes.nodes:
        if not row.is_local:
            number = NodeId(row.config.number)
            yield _peer(row, pages.get(number, 0), now.peer_reports.get(number))


def _peer(row: NodeRow, pages: int, report: PeerReport | None) -> PeerFacts:
    said, config = row.status, row.config
    return PeerFacts(
        name=config.name,
        state=row.state,
        reason=row.reason,
        is_linked=row.is_linked,
        link=LinkState.LINKED if row.is_linked else row.link,
        link_reason=row.link_reason,
        pages=pages,
        may_place=may_place(row.state)
        and row.is_linked
        and said is not None
        and said.is_accepting
        and not (config.cordoned or config.draining),
        free_bytes=0 if said is None else said.free_bytes,
        budget_bytes=0 if said is None else said.budget_bytes,
        report=report,
    )


def _pages(now: DaemonStatistics) -> PageFacts:
    engine, lost = now.engine, now.state_file.lost
    return PageFacts(
        unreadable=tuple(
            (each.name, each.unreadable_pages) for each in now.exports if each.unreadable_pages
        ),
        unreadable_pages=engine.store.unreadable_pages,
        lost_exports=tuple(loss.name for loss in lost if loss.user is None),
        lost_pools=tuple((loss.user, loss.name) for loss in lost if loss.user is not None),
        at_risk=engine.rebuild.pages_at_risk,
        is_counting_risk=engine.rebuild.is_counting,
        risk_seconds_left=engine.rebuild.seconds_left,
        copies=engine.store.copies_wanted or engine.default_copies,
        waits=now.pager.unreachable_waits,
    )


def _damage(now: DaemonStatistics) -> DamageFacts:
    engine = now.engine
    names = {row.config.number: row.config.name for row in engine.nodes.nodes}
    in_doubt = {
        names[node]: trust.bad_copies_total
        for node, trust in engine.trust.items()
        if trust.is_in_doubt and node in names
    }
    return DamageFacts(
        corrupt_pages=engine.store.corrupt_pages_total - engine.scrub.cleared_corrupt_pages,
        audit_problem=engine.audit.problem,
        in_doubt=tuple(
            (name, bad[BadCopy.MISSING] + bad[BadCopy.DISOWNED], bad[BadCopy.DAMAGED])
            for name, bad in in_doubt.items()
        ),
    )


def _memory(now: DaemonStatistics) -> MemoryFacts:
    engine, store = now.engine, now.engine.store
    return MemoryFacts(
        budget_bytes=store.zbud.budget_bytes,
        used_bytes=max(0, store.zbud.resident_bytes - store.zbud.warm_bytes),
        droppable_bytes=sum(store.zpage_bytes[family] for family in DROPPABLE),
        tables_bytes=store.tables_bytes,
        tables_bytes_max=store.tables_bytes_max,
        is_shrink_stopped=engine.resize.state is ResizeState.STOPPED,
        target_bytes=engine.resize.target_bytes,
        refused_puts_total=now.pager.refused_puts_total - now.pager.refused_ephemeral_puts_total,
    )


def _process(now: DaemonStatistics) -> ProcessFacts:
    detector = None if now.heartbeat is None else now.heartbeat.detector
    return ProcessFacts(
        is_starved=detector is not None and detector.is_starved,
        is_in_doubt=detector is not None and detector.is_in_doubt,
        long_rounds_total=sum(now.loop_stall.counts[_LONG_BUCKETS:]),
        pauses_total=now.pauses.pauses_total,
        paused_seconds_total=now.pauses.paused_seconds_total,
        swap_exports=tuple(each.name for each in now.exports if each.is_swap),
        is_locked=now.protection.is_locked,
        is_io_flusher=now.protection.is_io_flusher,
        is_oom_exempt=now.protection.oom_score_adj <= OOM_SCORE_MIN,
        is_reserve_short=now.engine.store.reserve.is_short,
        keeper=now.memory.keeper,
        is_keeper_unwanted=now.config.keep == KeepMemory.NOBODY,
    )


def _files(now: DaemonStatistics) -> FileFacts:
    members = now.membership
    return FileFacts(
        certificate_seconds=now.certificate_expiry_seconds,
        state_problem=now.state_file.problem,
        state_dir=now.config.state_dir,
        own_file=now.config.file,
        cluster_file=now.config.cluster,
        members_unwritten=members.unwritten,
        members_unwritable=members.unwritable,
        members_refused="" if members.unwritten else members.problem,
        is_removed=members.is_removed,
        differs_from=members.differs_from,
        is_outdated=now.incarnation_floors.newest > 0,
        listen_problem=now.addresses.problem,
    )
