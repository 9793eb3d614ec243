"""What is wrong with other nodes, the links to them, the list of members, and this node's own time.  Pure."""

from typing import Final

from config.units import human_count
from nodemanager.states import ENDED_STATES, LIVE_STATES, NodeState
from ramsterd.health.codes import Code, Finding, err, warn
from ramsterd.health.facts import Facts, Past, PeerFacts
from ramsterd.health.wording import REFUSALS, are, have, make_members_equal, named, start_again

# Heartbeats come from these.  A suspect without a link is about to be given up, or to be heard.
_HEARD: Final = LIVE_STATES - {NodeState.SUSPECT}
# In a minute; a machine that others load may take a second away now and then.
LONG_ROUNDS_MIN: Final = 3
# Likewise; a single pause, however long, is a machine that was suspended or moved.
PAUSES_MIN: Final = 2
PAUSED_SECONDS_MIN: Final = 3.0


def node_down(facts: Facts, past: Past) -> Finding | None:
    """Return whether nodes are down, or were stopped; an error if clients wait for one."""
    del past
    down = [peer for peer in facts.peers if peer.state in ENDED_STATES]
    if not down:
        return None
    names = {peer.name for peer in down}
    waits = [wait for wait in facts.pages.waits if names & set(wait.nodes)]
    summary = (
        f"{len(down):,} of {human_count(len(facts.peers), 'other node')} {are(len(down))} down:"
        f" {named([peer.name for peer in down])}"
    )
    if waits:
        summary += "; clients wait"
    return (err if waits else warn)(
        Code.NODE_DOWN,
        summary,
        details=(*(_why_down(peer) for peer in down), *(str(wait) for wait in waits)),
        command=start_again([peer.name for peer in down]),
        count=len(down),
    )


def _why_down(peer: PeerFacts) -> str:
    why = peer.reason or peer.link_reason or "it was never seen"
    kept = f"; it keeps {human_count(peer.pages)} of this node" if peer.pages else ""
    return f"{peer.name}: {why}{kept}"


def link_down(facts: Facts, past: Past) -> Finding | None:
    """Return whether nodes are alive and have no link."""
    del past
    cut = [peer for peer in facts.peers if peer.state in _HEARD and not peer.is_linked]
    if not cut:
        return _elsewhere(facts)
    details = [f"{peer.name}: {REFUSALS.get(peer.link, '')}{_why_no_link(peer)}" for peer in cut]
    if facts.files.is_outdated:
        details.append(
            "a node knows a later start of this node: the clock was behind when ramsterd started, or another machine"
            " uses the files of this node"
        )
    return warn(
        Code.LINK_DOWN,
        f"{human_count(len(cut), 'node')} {are(len(cut))} alive and {have(len(cut))} no link:"
        f" {named([peer.name for peer in cut])}",
        details=(*details, *([facts.files.listen_problem] if facts.files.listen_problem else [])),
        command="ramsterctl nodes, here and there",
        count=len(cut),
    )


def _elsewhere(facts: Facts) -> Finding | None:
    """Return whether other nodes look for this one where it does not listen, for the next links."""
    if not facts.files.listen_problem:
        return None
    return warn(
        Code.LINK_DOWN,
        "new links to this node can't be made: it is not where the other nodes look for it",
        details=(facts.files.listen_problem,),
        command=f"ip address; if the address is wrong: ramsterctl node set {facts.node} --address ADDRESS",
    )


def _why_no_link(peer: PeerFacts) -> str:
    return peer.link_reason or "no attempt has ended yet"


def members_differ(facts: Facts, past: Past) -> Finding | None:
    """Return whether this node and others have different lists of members."""
    del past
    files = facts.files
    if files.is_removed:
        return err(
            Code.MEMBERS_DIFFER,
            "this node was removed from the cluster: other nodes refuse it",
            command="systemctl stop ramsterd",
        )
    if files.differs_from:
        return warn(
            Code.MEMBERS_DIFFER,
            f"cluster.toml differs between this node and {named(list(files.differs_from))}",
            details=tuple(
                f"{name} has other members for the same membership version"
                for name in files.differs_from
            ),
            command=f"on the node whose members are right: {make_members_equal(facts.node)}",
            count=len(files.differs_from),
        )
    if files.members_refused:
        return warn(
            Code.MEMBERS_DIFFER,
            "this node does not use the members that another node has",
            details=(files.members_refused,),
            command="ramsterctl nodes, here and there",
        )
    return None


def starved(facts: Facts, past: Past) -> Finding | None:
    """Return whether this node is too slow to be relied on."""
    process, details = facts.process, []
    if process.is_in_doubt:
        details.append("most nodes seem down: probably this node has no network")
    elif process.is_starved:
        details.append("answers to heartbeats come late: other nodes send no pages here")
    if past.long_rounds >= LONG_ROUNDS_MIN:
        details.append(f"clients got no answer for a while, {past.long_rounds:,} times in a minute")
    if past.pauses >= PAUSES_MIN and past.paused_seconds >= PAUSED_SECONDS_MIN:
        details.append(
            f"the system did not run ramsterd for {past.paused_seconds:.1f} s of the last minute,"
            f" in {past.pauses:,} pauses"
        )
    if not details:
        return None
    return warn(
        Code.STARVED,
        "this node is short of CPU, or its network is bad",
        details=tuple(details),
        command="top",
    )
