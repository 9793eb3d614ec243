"""The judgement on a HELLO: accepted, refused, or undecided while another link is probed.  Pure.

A half-open link is one whose other end is gone without our having heard of it: a reset that a
firewall dropped, a machine that lost its state.  The peer connects again, and that its old link is
still there proves nothing.  So the old link gets a PROBE, which a living peer answers at once; if
not a byte came of it within `PROBE_SECONDS`, or if it ended meanwhile, the newcomer takes its
place.  If it answered, the newcomer is refused.

Only one who has passed every other check (certificate, number, cluster) gets so far, so nobody can
make us doubt a link but the node at its other end; where links are plaintext anybody can, and costs
us one PROBE.

The accepting side decides which of two links stays, and the dialling side follows: so they never
decide differently.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from nodemanager.ids import Incarnation

if TYPE_CHECKING:
    from net.link import Link

# How long a link that is probed may say nothing.  Many round trips, and short beside the time that
# a get waits.
PROBE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """They may link to us; a link that they have already ends."""


@dataclass(frozen=True, slots=True)
class Refused:
    """They may not.

    `newest` is the incarnation of theirs that we know, if theirs is an earlier one.
    """

    reason: str
    newest: Incarnation | None = None


@dataclass(frozen=True, slots=True)
class Undecided:
    """They may, unless the present link receives something before `until`.

    Judge again then, or when it ends.
    """

    present: "Link"
    # How much it had received when it was probed: more proves that it works.
    bytes_received: int
    until: float


Judgement: TypeAlias = Accepted | Refused | Undecided


def judge_second_link(present: "Link", *, doubt: Undecided | None, now: float) -> Judgement:
    """Judge one of the same incarnation as the present link.

    `doubt` is what was found of it before, if anything.
    """
    bytes_received = present.statistics().bytes_received_total
    if doubt is None or doubt.present is not present:
        return Undecided(present, bytes_received, until=now + PROBE_SECONDS)
    if bytes_received > doubt.bytes_received:
        return Refused("a second link of this node: the first one is open")
    return Accepted()


def why_replaced(*, is_newer: bool, is_attached: bool, has_moved: bool, is_dialer: bool) -> str:
    """Say of a node why its new link takes the place of the old one."""
    if is_newer:
        return "came back with a new incarnation"
    if is_attached:
        return "was restarted with its memory kept"
    if has_moved:
        return "moved" if is_dialer else "dialled this node where it has moved to"
    if is_dialer:
        return "sent nothing on this link and answered on another"
    return f"connected again and did not answer on this link within {PROBE_SECONDS:g} s"
