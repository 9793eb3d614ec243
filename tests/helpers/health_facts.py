"""Facts of a node on which all is well, and short ways to others."""

from dataclasses import replace
from typing import Any, Final

from nodemanager.states import LinkState, NodeState
from ramsterd.asking.comparer import PeerReport
from ramsterd.health.facts import (
    DamageFacts,
    Facts,
    FileFacts,
    MemoryFacts,
    PageFacts,
    PeerFacts,
    ProcessFacts,
)
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait

MIB: Final = 1 << 20
DAY: Final = 86_400.0


def peer(name: str, **changes: Any) -> PeerFacts:
    """Return a peer that is well, but for some of its facts."""
    well = PeerFacts(
        name=name,
        state=NodeState.UP,
        reason="link opened",
        is_linked=True,
        link=LinkState.LINKED,
        link_reason="",
        pages=100,
        may_place=True,
        free_bytes=60 * MIB,
        budget_bytes=100 * MIB,
    )
    return replace(well, **changes)


def said(name: str, *, version: str = "1.2.0", skew: float = 0.0) -> PeerFacts:
    """Return a peer that is well, and told its version, and by how much its clock is ahead."""
    report = PeerReport(version=version, clock_skew_seconds=skew if version else None)
    return peer(name, report=report)


def down(name: str, **changes: Any) -> PeerFacts:
    """Return a peer that is down."""
    ended = peer(
        name,
        state=NodeState.DOWN,
        reason="no answer for 3 s",
        is_linked=False,
        link=LinkState.LOST,
        link_reason="connection reset",
        may_place=False,
    )
    return replace(ended, **changes)


def wait(node: str, export: str = "swap0") -> UnreachableWait:
    """Return an export that waits for a node."""
    return UnreachableWait(
        pool=export, is_export=True, nodes=(node,), reads=3, writes=0, seconds=5.0
    )


FACTS: Final = Facts(
    node="alpha",
    version="1.2.0",
    peers=(peer("beta"), peer("gamma")),
    pages=PageFacts(
        unreadable=(),
        unreadable_pages=0,
        lost_exports=(),
        lost_pools=(),
        at_risk=0,
        is_counting_risk=False,
        risk_seconds_left=0.0,
        copies=2,
        waits=(),
    ),
    damage=DamageFacts(corrupt_pages=0, audit_problem="", in_doubt=()),
    memory=MemoryFacts(
        budget_bytes=100 * MIB,
        used_bytes=85 * MIB,
        droppable_bytes=0,
        tables_bytes=MIB,
        tables_bytes_max=64 * MIB,
        is_shrink_stopped=False,
        target_bytes=100 * MIB,
        refused_puts_total=0,
    ),
    process=ProcessFacts(
        is_starved=False,
        is_in_doubt=False,
        long_rounds_total=0,
        pauses_total=0,
        paused_seconds_total=0.0,
        swap_exports=(),
        is_locked=False,
        is_io_flusher=False,
        is_oom_exempt=False,
        is_reserve_short=False,
        keeper="systemd",
        is_keeper_unwanted=False,
    ),
    files=FileFacts(
        certificate_seconds=300 * DAY,
        state_problem="",
        state_dir="/var/lib/ramster",
        own_file="/etc/ramster/ramsterd.toml",
        cluster_file="/etc/ramster/cluster.toml",
        members_unwritten="",
        members_unwritable="",
        members_refused="",
        is_removed=False,
        differs_from=(),
        is_outdated=False,
        listen_problem="",
    ),
)


def with_pages(**changes: Any) -> Facts:
    """Return the facts with others of its pages."""
    return replace(FACTS, pages=replace(FACTS.pages, **changes))


def with_damage(**changes: Any) -> Facts:
    """Return the facts with others of damage."""
    return replace(FACTS, damage=replace(FACTS.damage, **changes))


def with_memory(**changes: Any) -> Facts:
    """Return the facts with others of its memory."""
    return replace(FACTS, memory=replace(FACTS.memory, **changes))


def with_process(**changes: Any) -> Facts:
    """Return the facts with others of its process."""
    return replace(FACTS, process=replace(FACTS.process, **changes))


def with_files(**changes: Any) -> Facts:
    """Return the facts with others of its files."""
    return replace(FACTS, files=replace(FACTS.files, **changes))


def with_peers(*peers: PeerFacts) -> Facts:
    """Return the facts with these peers."""
    return replace(FACTS, peers=peers)
