"""`ramsterctl node`: members that come, go, and get no new pages."""

import logging
import math
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from config.copies import default_copies
from config.errors import ConfigError
from config.event_kinds import EventKind, about
from config.model import ClusterConfig, NodeConfig
from config.reader import read_plain
from config.units import human_count
from nodemanager.changes import Add, AlreadySo, Change, ChangeRefused, Cordon, Drain, Move, Remove
from nodemanager.ids import NodeId
from ramsterd.admin.orders import read_deadline, read_reason
from ramsterd.admin.socket import Command, CommandRefused
from ramsterd.membership.background_store import BackgroundStore
from ramsterd.membership.inquiries import Inquiry
from ramsterd.membership.members import Members
from ramsterd.observe.snapshot import to_plain

logger = logging.getLogger("ramster.commands")

# How long the others may take to say what they have to do with a node: to count the pages of 500
# GiB takes as long.
ANSWERS_SECONDS_MAX: Final = 300.0
# A command that waits asks again sooner than that.
POLL_SECONDS_MAX: Final = 10.0


def node_commands(members: Members) -> dict[str, Command]:
    """Return the commands by name."""
    return {
        "node-add": partial(add_node, members),
        "node-remove": partial(remove_node, members),
        "node-cordon": partial(cordon_node, members, is_cordoned=True),
        "node-uncordon": partial(cordon_node, members, is_cordoned=False),
        "node-set": partial(set_node, members),
    }


def membership(members: Members, store: BackgroundStore, _: dict[str, object]) -> object:
    """Return how the members stand, and whether the disk is still at it."""
    names = {NodeId(node.number): node.name for node in members.cluster.node}
    now = to_plain(members.statistics(), names)
    assert isinstance(now, dict)
    return {**now, "is_writing": store.is_writing}


def add_node(members: Members, request: dict[str, object]) -> object:
    """Add `node`, an object with the keys of a [[node]] table.

    Raises:
        CommandRefused: It breaks a rule of the cluster file, or the file can't be written; nothing
            has changed.
    """
    node = _read_member(members, request.get("node"), "the new member")
    is_changed = _change(members, Add(node))
    return _result(members, node, "added", is_changed=is_changed)


def _read_member(members: Members, table: object, what: str) -> NodeConfig:
    plain = {"name": members.cluster.name, "node": [table]}
    try:
        (node,) = read_plain(plain, ClusterConfig, file=what, folder=Path()).node
    except ConfigError as error:
        # It has no row in a file yet: the number there would be that of another member.
        key = error.key.removeprefix("node[0].")
        hint = "; the port is a value of its own (`--port`)" if key == "address" else ""
        raise CommandRefused(
            f"{what}: {key}: found {error.found}, expected {error.expected}{hint}"
        ) from None
    return node


def set_node(members: Members, request: dict[str, object]) -> object:
    """Have the member `name` be at another `address`, or `port`, or both.

    Raises:
        CommandRefused: No such member, the address breaks a rule of the cluster file, or the file
            can't be written; nothing has changed.
    """
    node = find_node(members, request)
    wanted = {key: request[key] for key in ("address", "port") if request.get(key) is not None}
    if not wanted:
        raise CommandRefused("found neither address nor port, expected --address, --port or both")
    new = _read_member(members, {**asdict(node), **wanted}, f"node {node.name}")
    number = NodeId(node.number)
    is_reached = members.is_reached(number)
    is_changed = _change(members, Move(number, new.address, new.port))
    away = (
        f"{node.name} has no link to this node. Before it starts again, copy cluster.toml of a member to it: a node"
        " begins at the address that its own file says"
    )
    return {
        **_result(members, node, "moved", is_changed=is_changed),
        "warnings": [] if is_reached else [away],
    }


def cordon_node(members: Members, request: dict[str, object], *, is_cordoned: bool) -> object:
    """Give the member `name` no new pages, or give it some again.

    Raises:
        CommandRefused: No such member, or the file can't be written.
    """
    node = find_node(members, request)
    is_changed = _change(members, Cordon(NodeId(node.number), is_cordoned))
    state = "cordoned" if is_cordoned else "uncordoned"
    return _result(members, node, state, is_changed=is_changed)


def drain_node(
    members: Members, request: dict[str, object], *, wall: float = 0.0
) -> dict[str, object]:
    """Have the member `name` give back what it holds.

    `deadline_seconds` says until when it should be done, and `reason` why.  Of one that drains
    already both may be changed.

    Args:
        members: All members.
        request: See above.
        wall: Seconds since 1970; 0: not known.

    Raises:
        CommandRefused: No such member, a value is wrong, or the file can't be written.
    """
    node = find_node(members, request)
    seconds = read_deadline(request)
    change = Drain(
        NodeId(node.number),
        began_at=int(wall),
        deadline_at=0 if seconds is None else math.ceil(wall + seconds),
        origin=members.local,
        reason=read_reason(request),
    )
    before = members.cluster
    is_changed = _change(members, change)
    is_down = members.is_down(NodeId(node.number))
    return {
        **_result(members, node, "draining", is_changed=is_changed),
        # Of each call alike: an operator who drains a node that drains already is told, too.
        "warnings": [
            *([f"{node.name} is down: the drain begins when it is back"] if is_down else []),
            *fewer_copies(_with_all_of(before, node), members.cluster),
        ],
    }


def drained(cluster: ClusterConfig, leaving: NodeConfig) -> ClusterConfig:
    """Return the cluster as it is when a member drains."""
    nodes = tuple(
        replace(each, draining=each.draining or each.number == leaving.number)
        for each in cluster.node
    )
    return replace(cluster, node=nodes)


def drain_warnings(members: Members, node: NodeConfig) -> list[str]:
    """Return what a drain of a member would be warned of."""
    before = _with_all_of(members.cluster, node)
    return fewer_copies(before, drained(members.cluster, node))


def remove_node(members: Members, request: dict[str, object]) -> object:
    """Remove the member `name`, once the others have said what they have to do with it.

    It takes several calls: the first cordons the node and asks, and each says how it stands, until
    one removes.  With `force` nothing that the answers say stands in the way.

    Raises:
        CommandRefused: Pages would be lost, or somebody did not answer; the node stays, cordoned.
    """
    node = find_node(members, request)
    number, is_forced = NodeId(node.number), request.get("force") is True
    inquiry = _inquiry(members, node)
    names = {NodeId(each.number): each.name for each in members.cluster.node}
    is_over = trio.current_time() >= inquiry.began_at + ANSWERS_SECONDS_MAX
    waits_for = [names.get(each, str(each)) for each in sorted(inquiry.waits_for)]
    if waits_for and not is_over:
        return {"state": "asking", "node": node.name, "waits_for": waits_for}
    del members.inquiries.removals[number]
    loss = _losses(inquiry, node, names)
    if waits_for:
        loss.append(f"no answer from {', '.join(waits_for)}")
    known = {*inquiry.answers, *inquiry.waits_for, number}
    unasked = [each for each in names if each not in known]
    said = inquiry.answers.get(number)
    is_empty = said is not None and not said.pages_here  # of all others, so nobody need be asked
    owners = [names[each] for each in unasked if members.inquiries.may_have_pages(each)]
    if owners and not is_empty:
        loss.append(f"no link to {', '.join(owners)}, which may have pages there")
    if loss and not is_forced:
        raise CommandRefused(
            f"node {node.name} was not removed, only cordoned: {'; '.join(loss)}."
            f" {_way_out(members, inquiry, node)}"
        )
    for each in loss:
        logger.warning(
            "node %s is removed by force: %s", node.name, each,
            extra=about(EventKind.NODE_REMOVED, node=node.name),
        )  # fmt: skip
    before = members.cluster
    _change(members, Remove(number))
    return {
        **_result(members, node, "removed"),
        "lost": loss,
        "not_asked": [names[each] for each in unasked],
        "warnings": fewer_copies(before, members.cluster),
    }


def _way_out(members: Members, inquiry: Inquiry, leaving: NodeConfig) -> str:
    """Return what an operator can do whose removal was refused."""
    name = leaving.name
    if members.is_down(NodeId(leaving.number)):
        return (
            f"{name} is down: pages can't be moved from it or back to it. To have them again:"
            f" `systemctl start ramsterd` on {name}. To remove it and lose these pages: --force."
            f" It stays cordoned: `ramsterctl node uncordon {name}` ends that"
        )
    return (
        f"To empty it first: `ramsterctl node drain {name}`{_more_room(inquiry, leaving)}."
        " To remove it and lose these pages: --force"
    )


def _more_room(inquiry: Inquiry, leaving: NodeConfig) -> str:
    """Return what helps if the drain ends with pages that have no room: it does not move them elsewhere."""
    said = inquiry.answers.get(NodeId(leaving.number))
    if said is None or not said.last_copies:
        return ""
    return (
        f"; if {leaving.name} has no room for its own pages, discard some or give it more:"
        f" `ramsterctl memory set --budget SIZE` on {leaving.name}"
    )


def _with_all_of(cluster: ClusterConfig, leaving: NodeConfig) -> ClusterConfig:
    """Return the cluster as if one member did not drain."""
    nodes = tuple(
        replace(node, draining=False) if node.number == leaving.number else node
        for node in cluster.node
    )
    return replace(cluster, node=nodes)


def fewer_copies(before: ClusterConfig, after: ClusterConfig) -> list[str]:
    """Return a sentence if pages have fewer copies from now on, or nowhere to go, because fewer members keep pages."""
    keepers = _keepers(after)
    if len(keepers) >= len(_keepers(before)):
        return []
    match keepers:
        case []:
            return [
                "no node will hold pages of others: writes that do not fit on their own node are refused"
            ]
        case [only]:
            return [
                f"only node {only} will hold pages of others: pages of {only} can go to no other node"
            ]
        case _ if default_copies(after) < default_copies(before):
            drop = (
                f"redundancy drops from {default_copies(before)} copies to {default_copies(after)}"
            )
            return [
                f"{drop}: only {len(keepers)} nodes will hold pages (unless ramsterd.toml sets copies)"
            ]
        case _:
            return []


def _keepers(cluster: ClusterConfig) -> list[str]:
    """Return the names of the members that keep pages of others."""
    return [node.name for node in cluster.node if not node.draining]


def _inquiry(members: Members, node: NodeConfig) -> Inquiry:
    """Return the inquiry under way, or begin one.

    The node is cordoned first, and each link carries that change ahead of the question: who answers
    that it has nothing there puts nothing there any more.
    """
    number = NodeId(node.number)
    inquiry = members.inquiries.removals.get(number)
    now = trio.current_time()
    # One that nobody came back to says how things were; so does one that an uncordon came after.
    if inquiry is not None and node.cordoned and now - inquiry.polled_at < POLL_SECONDS_MAX:
        inquiry.polled_at = now
        return inquiry
    if not node.cordoned:
        _change(members, Cordon(number, is_cordoned=True))
    return members.inquiries.ask(number)


def _losses(inquiry: Inquiry, leaving: NodeConfig, names: dict[NodeId, str]) -> list[str]:
    """Return what would be lost, a sentence each."""
    number, name, losses = NodeId(leaving.number), leaving.name, []
    for node, holdings in sorted(inquiry.answers.items()):
        who = names.get(node, str(node))
        if holdings.last_copies and node == number:
            losses.append(
                f"{human_count(holdings.last_copies)} of {name} itself are only at its peers"
            )
        elif holdings.last_copies:
            losses.append(
                f"{name} has the last copy of {human_count(holdings.last_copies)} of {who}"
            )
        # It can't say itself whether it has them too.
        if holdings.pages_here and number not in inquiry.answers:
            losses.append(f"{human_count(holdings.pages_here)} of {name} are at {who}")
    return losses


def find_node(members: Members, request: dict[str, object]) -> NodeConfig:
    """Return the member `name`.

    Raises:
        CommandRefused: There is none.
    """
    try:
        return members.find(str(request.get("name", "")))
    except ChangeRefused as refused:
        raise CommandRefused(str(refused)) from None


def _change(members: Members, change: Change) -> bool:
    """Make a change.

    Return whether that changed anything, for to say a thing twice is no mistake.
    """
    try:
        members.change(change)
    except AlreadySo:
        return False
    except (ChangeRefused, ConfigError) as error:
        raise CommandRefused(str(error)) from None
    return True


def _result(
    members: Members, node: NodeConfig, state: str, *, is_changed: bool = True
) -> dict[str, object]:
    cluster = members.cluster
    present = next((each for each in cluster.node if each.number == node.number), node)
    return {
        "state": state,
        "is_changed": is_changed,
        "node": to_plain(present),
        "membership_version": cluster.membership_version,
        "membership_origin": members.last_changed_at(),
    }
