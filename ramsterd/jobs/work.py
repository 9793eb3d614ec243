"""Work: how one piece of long work stands, as the machine that does it says.  Pure.

`ramsterd.observe.job_facts` takes it from the snapshot that `status` and the metrics show.
"""

import enum
from dataclasses import dataclass
from typing import Final


class JobKind(enum.Enum):
    """What is done; the value is the first part of a job's name."""

    DRAIN = "drain"
    REBUILD = "rebuild"
    RECALL = "recall"
    VERIFY = "verify"


class JobState(enum.Enum):
    """How a job stands."""

    RUNNING = "running"
    WAITING = "waiting"  # nothing moves, and the job says why
    OVERDUE = "overdue"  # past its deadline; it goes on, and no page is dropped for it
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE_STATES: Final = (JobState.RUNNING, JobState.WAITING, JobState.OVERDUE)
ENDED_STATES: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
assert {*LIVE_STATES, *ENDED_STATES} == set(JobState)


@dataclass(frozen=True, slots=True)
class Rule:
    """How long work must be there, or be gone, before that counts; and whether it may come again."""

    # A link that is lost for a moment puts pages at risk for that moment: no job.
    appear_seconds: float = 0.0
    # Memory that is freed in steps is one job, not one for each step.
    clear_seconds: float = 0.0
    # Whether the same key names the next job, once there is nothing to do: rebuild never ends, it
    # only has nothing to do.
    recurs: bool = False


RULES: Final = {
    JobKind.DRAIN: Rule(),
    JobKind.REBUILD: Rule(appear_seconds=3.0, clear_seconds=3.0, recurs=True),
    JobKind.RECALL: Rule(appear_seconds=2.0, clear_seconds=5.0, recurs=True),
    JobKind.VERIFY: Rule(),
}
assert set(RULES) == set(JobKind)


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a job, and why."""

    # The name of the node where the operator typed it; empty: the daemon does it by itself.
    by: str = ""
    reason: str = ""


BY_ITSELF: Final = Order()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ends: in which state, what was done, and why it was not done."""

    state: JobState
    did: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One piece of work, as it stands in one snapshot."""

    kind: JobKind
    # Tells it apart from all other work of its kind.
    key: str
    # The node that works, and on what: `node beta`, `pages of node alpha`.
    node: str
    what: str
    # Whether there is anything to do, or on its way, or not known.
    is_active: bool
    # What is still to do; None: not known yet.
    left: int | None
    # The most that was ever left, as the node that works says: what is shown is the same at each
    # member.  None: it follows from what was seen here.
    left_max: int | None = None
    # Whether what is left is being counted, so that there may be more or less of it.
    is_counting: bool = False
    # How old these figures are; they come from another node.
    as_of_seconds: float = 0.0
    # All that was ever done of its kind, and of work that does not recur: by this work.  None: it
    # follows from what is left.
    done_total: int | None = None
    # Comes home while it fits: nobody waits for it once it stands still.  None: not known yet.
    trailing: int | None = 0
    trailing_as_of_seconds: float = 0.0
    # Pages that were lost since the daemon started.
    lost_total: int = 0
    noun: str = "page"
    # Why nothing can move now; and why, if nothing moves for a while.
    waits_for: str = ""
    stall_reason: str = ""
    order: Order = BY_ITSELF
    # The number that it has on every node; 0: the table gives it one.
    number: int = 0
    # How long ago it began, and whether that was before this daemon started.
    age_seconds: float = 0.0
    is_resumed: bool = False
    # Until its deadline, negative after that; None: it has none.
    seconds_to_deadline: float | None = None
    # Whether this node does it, or its operator ordered it here: its log tells of it.
    is_ours: bool = True
    # Its own end, if the machine knows one; else it ends when nothing is left.
    ending: Ending | None = None
    # What an operator should know when it has ended.
    remarks: tuple[str, ...] = ()
