"""What nodes believed of each other over time, summed up: the same for real daemons and for the simulation.  Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nodemanager.states import NodeState


@dataclass(frozen=True, slots=True)
class Belief:
    """From this time on a node believes this of another."""

    at: float  # seconds
    judge: int
    node: int
    state: NodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often somebody was called suspect or down, and what came of it."""

    suspects: int
    downs: int
    refuted: int  # of the downs
    down_seconds: float  # of all judges together
    longest_seconds: float


def tally(beliefs: Iterable[Belief], about: Callable[[Belief], bool], *, end: float) -> Tally:
    """Sum up the beliefs that `about` picks; who is down at the end was down until then."""
    suspects = refuted = 0
    down_since: dict[tuple[int, int], float] = {}
    spells: list[float] = []
    for belief in filter(about, beliefs):
        pair = belief.judge, belief.node
        suspects += belief.state is NodeState.SUSPECT
        if belief.state is NodeState.DOWN:
            down_since.setdefault(pair, belief.at)
        elif pair in down_since:
            spells.append(belief.at - down_since.pop(pair))
            refuted += 1
    spells += [end - since for since in down_since.values()]
    return Tally(
        suspects=suspects,
        downs=len(spells),
        refuted=refuted,
        down_seconds=sum(spells),
        longest_seconds=max(spells, default=0.0),
    )
