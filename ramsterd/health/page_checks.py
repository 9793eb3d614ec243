"""What is wrong with the pages of this node: lost, at risk, damaged.  Pure."""

from config.units import human_count
from ramsterd.health.codes import Code, Finding, err, warn
from ramsterd.health.facts import Facts, Past, PeerFacts
from ramsterd.health.wording import have, more_memory_at, start_again


def pages_lost(facts: Facts, past: Past) -> Finding | None:
    """Return whether there are pages whose last copy is gone, and that nobody has written anew."""
    del past
    pages = facts.pages
    if not pages.unreadable_pages:
        return None
    of_exports = sum(count for _, count in pages.unreadable)
    details = [
        f"export {name}: at most {human_count(count)} can't be read"
        for name, count in pages.unreadable
    ]
    if pages.unreadable_pages > of_exports:
        count = human_count(pages.unreadable_pages - of_exports)
        details.append(f"pools of programs: at most {count} can't be read")
    return err(
        Code.PAGES_LOST,
        f"at most {human_count(pages.unreadable_pages)} of this node can't be read: the last copy is gone",
        details=tuple(details),
        command="ramsterctl verify --invariants",
        count=pages.unreadable_pages,
    )


def export_lost(facts: Facts, past: Past) -> Finding | None:
    """Return whether exports or pools are closed because their pages ended with an earlier run."""
    del past
    exports, pools = facts.pages.lost_exports, facts.pages.lost_pools
    if not exports and not pools:
        return None
    parts = [
        human_count(len(names), noun)
        for names, noun in ((exports, "export"), (pools, "pool"))
        if names
    ]
    reset = f"export reset {exports[0]}" if exports else f"pool reset {pools[0][0]} {pools[0][1]}"
    return err(
        Code.EXPORT_LOST,
        f"clients are refused by {' and '.join(parts)}: the pages ended with an earlier run of ramsterd",
        details=(
            *(f"export {name} is lost" for name in exports),
            *(f"pool {name!r} of user {user} is lost" for user, name in pools),
        ),
        command=f"stop what used it, then: ramsterctl {reset}",
        count=len(exports) + len(pools),
    )


def pages_at_risk(facts: Facts, past: Past) -> Finding | None:
    """Return whether pages have fewer copies than they are to have."""
    del past
    pages = facts.pages
    if not pages.at_risk:
        return None
    away = [peer for peer in facts.peers if peer.pages and not peer.is_linked]
    details = [f"{peer.name} keeps {human_count(peer.pages)}, and has no link" for peer in away]
    if pages.risk_seconds_left is not None:
        details.append(f"they are copied again in about {pages.risk_seconds_left:,.0f} s")
        command = "ramsterctl status"
    elif missing := away or _away_with_room(facts):
        details.append("they wait for more nodes with room")
        command = start_again([peer.name for peer in missing])
    else:
        details.append("they wait for room at other nodes")
        command = _room_elsewhere(facts)
    return warn(
        Code.PAGES_AT_RISK,
        f"{human_count(pages.at_risk)} of this node {have(pages.at_risk)} fewer copies than asked",
        details=tuple(details),
        command=command,
    )


def _away_with_room(facts: Facts) -> list[PeerFacts]:
    """Return the nodes without a link that would take pages."""
    return [peer for peer in _taking(facts) if not peer.is_linked]


def _taking(facts: Facts) -> list[PeerFacts]:
    kept_out = {each.name for each in facts.kept_out}
    return [peer for peer in facts.peers if peer.name not in kept_out]


def _room_elsewhere(facts: Facts) -> str:
    """Return what gives pages room at other nodes, all of which have a link."""
    taking = _taking(facts)
    not_taking = [peer for peer in facts.peers if peer not in taking]
    if not_taking and len(taking) < facts.pages.copies:
        return f"add a node, or: ramsterctl node uncordon {not_taking[0].name}"
    if not taking:
        return "add a node, then: ramsterctl nodes"
    fullest = min(taking, key=_free_part)
    return more_memory_at(fullest.name, fullest.budget_bytes)


def _free_part(peer: PeerFacts) -> tuple[float, int]:
    """Return how much of its memory a peer has for blocks, and of how much; 1: it did not say."""
    part = peer.block_room_bytes / peer.budget_bytes if peer.budget_bytes else 1.0
    return part, peer.budget_bytes


def corrupt_found(facts: Facts, past: Past) -> Finding | None:
    """Return whether pages were found that are not what was stored, here or at a peer."""
    del past
    damage = facts.damage
    if damage.audit_problem:
        return err(
            Code.CORRUPT_FOUND,
            "tables of this node contradict each other",
            details=(damage.audit_problem,),
            command=f"ramsterctl node drain {facts.node}, and report the line above",
        )
    details = [
        f"{name} did not keep what it stored: copies missing: {missing:,}, damaged: {damaged:,}"
        for name, missing, damaged in damage.in_doubt
    ]
    if damage.corrupt_pages:
        details.insert(0, f"{human_count(damage.corrupt_pages)} in the memory of this node")
    if not details:
        return None
    doubted = [name for name, _, _ in damage.in_doubt]
    where = "here" if damage.corrupt_pages else ""
    places = " and ".join([each for each in (where, *(f"at {name}" for name in doubted)) if each])
    verify = "ramsterctl verify"
    return warn(
        Code.CORRUPT_FOUND,
        f"pages were not what was stored, {places}; they are not used",
        details=tuple(details),
        command=verify if damage.corrupt_pages else f"on node {doubted[0]}: {verify}",
        count=damage.corrupt_pages + sum(missing + bad for _, missing, bad in damage.in_doubt),
    )
