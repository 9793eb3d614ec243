"""What health is judged from: figures of one snapshot, and what was before it.  Pure.

`ramsterd.observe.health_facts` takes the figures from the snapshot that `status` and the metrics
show.
"""

from dataclasses import dataclass

from nodemanager.states import LinkState, NodeState
from ramsterd.asking.comparer import PeerReport
from ramsterd.core.size_classes import BLOCK_STRIDE_BYTES
from ramsterd.health.codes import Code
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerFacts:
    """Another node, as this one sees it."""

    name: str
    state: NodeState
    # Why it is in that state.
    reason: str
    is_linked: bool
    link: LinkState
    link_reason: str
    # Copies of pages of this node that it keeps.
    pages: int
    # Whether new pages may be sent there, how many bytes of zpages it takes, and of how many it has.
    may_place: bool
    free_bytes: int
    budget_bytes: int
    # What it said of itself; None: nothing lately.
    report: PeerReport | None = None

    @property
    def block_room_bytes(self) -> int:
        """How many bytes it has for blocks: pages are sent by the block."""
        return self.free_bytes if self.free_bytes >= BLOCK_STRIDE_BYTES else 0

    @property
    def has_room(self) -> bool:
        """Whether a block of new pages may be sent there."""
        return self.may_place and self.block_room_bytes > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """The pages of this node."""

    # Exports with lost pages, and how many each has at most; all lost pages, those of pools too.
    unreadable: tuple[tuple[str, int], ...]
    unreadable_pages: int
    # Closed, because their pages ended with an earlier run; pools by user and name.
    lost_exports: tuple[str, ...]
    lost_pools: tuple[tuple[int, str], ...]
    at_risk: int
    is_counting_risk: bool
    # Until all have their copies again; None: nothing moves.
    risk_seconds_left: float | None
    # The fewest copies that a page is to have which is not here.
    copies: int
    waits: tuple[UnreachableWait, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DamageFacts:
    """Pages that were not what was stored."""

    # Found here, and not followed by a scrub that found nothing.
    corrupt_pages: int
    # Which tables contradict each other; empty: none do.
    audit_problem: str
    # Peers that did not keep what they stored: by name, how many copies are missing and damaged.
    in_doubt: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFacts:
    """The memory of this node."""

    budget_bytes: int
    used_bytes: int
    # Of the used ones: pages that are elsewhere too, or may be dropped.
    droppable_bytes: int
    tables_bytes: int
    tables_bytes_max: int
    # A smaller budget that could not be reached, and what it was to be.
    is_shrink_stopped: bool
    target_bytes: int
    # Writes that found no room, but those of ephemeral pages.
    refused_puts_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """The process, and what it is to be protected from."""

    # The failure detector doubts this node, or nearly all others.
    is_starved: bool
    is_in_doubt: bool
    # Rounds of the event loop in which nobody got an answer for too long.
    long_rounds_total: int
    # Times in which the system did not run the process though it would have run.
    pauses_total: int
    paused_seconds_total: float
    swap_exports: tuple[str, ...]
    is_locked: bool
    is_io_flusher: bool
    is_oom_exempt: bool
    is_reserve_short: bool
    # Who keeps the pages, empty if nobody does; and whether the file says that nobody is to.
    keeper: str
    is_keeper_unwanted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """Files that the daemon reads and writes."""

    # None: there is no TLS.
    certificate_seconds: float | None
    state_problem: str
    # Where the state file is.
    state_dir: str
    # Where the file of this node is, and the cluster file.
    own_file: str
    cluster_file: str
    members_unwritten: str
    # Why the next change of the members can't be written.
    members_unwritable: str
    # Why the members that a peer has are not those of this node.
    members_refused: str
    is_removed: bool
    differs_from: tuple[str, ...]
    # A peer knows a later start of this node than the one that runs.
    is_outdated: bool
    # Why this node is not where cluster.toml has it.
    listen_problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LateJob:
    """A job that is past its deadline."""

    name: str
    # What it works on.
    what: str
    # Since the deadline.
    seconds: float
    left: int
    noun: str
    # Why nothing moves; empty: something does.
    waits_for: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOut:
    """A member that gets no new pages, because an operator said so."""

    name: str
    # Else it is only cordoned; and whether nothing is left to move (None: it is not known any more).
    is_draining: bool = False
    is_drained: bool | None = False
    # Of the drain: its date (empty: it is not known), and why.
    began: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One node, as one snapshot shows it."""

    node: str
    version: str
    peers: tuple[PeerFacts, ...]
    pages: PageFacts
    damage: DamageFacts
    memory: MemoryFacts
    process: ProcessFacts
    files: FileFacts
    late_jobs: tuple[LateJob, ...] = ()
    kept_out: tuple[KeptOut, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was before the snapshot."""

    # Codes that hold already: a value must be well below its border to end one.
    active: frozenset[Code] = frozenset()
    # How many came in the last minute.
    refused_puts: int = 0
    long_rounds: int = 0
    pauses: int = 0
    paused_seconds: float = 0.0


NO_PAST = Past()
