"""The counters of the detector.  Pure data; `ramsterd` shows it in `status` and `/metrics`."""

from dataclasses import dataclass

from heartbeat.probe import ProbeOutcome
from nodemanager.states import NodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class SwimStatistics:
    """One snapshot of the failure detector."""

    members: dict[NodeState, int]  # how many others are in each state; the caller's own copy
    probes_total: dict[ProbeOutcome, int]  # ours, by how they ended; the caller's own copy
    asked_indirect_probes_total: int  # that we asked another to ping for us
    helped_indirect_probes_total: int  # that we pinged for another
    accusations_total: int  # that a probe of ours made us suspect somebody, or confirm a suspicion
    suspicions_total: (
        int  # that we came to suspect somebody, by our own probe or by what others say
    )
    cleared_suspicions_total: int  # that such a suspect turned out to live, in the same incarnation
    downs_total: int  # that we believed somebody down whose incarnation we knew
    cleared_downs_total: int  # that such a one turned out to live, in the same incarnation
    verdicts_total: int
    refutations_total: int  # how often we denied being suspect or down
    stale_news_total: int  # news of an incarnation that is over
    stalls_total: int  # how often we noticed that we ourselves had slept
    gossip_rows: int
    health_multiplier: int  # 1: healthy
    is_in_doubt: bool  # so many suspects that we rather suspect ourselves
    is_starved: bool  # we do so badly that others should ask us for nothing
