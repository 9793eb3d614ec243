"""Members: changes of the cluster in, from an operator or a peer.

The file, the links and the engine follow.

Each change is kept in the store first and acted on after: a change that can't be written is
refused.  One that a peer brings is acted on in any case, for the cluster has it already; if it
can't be written here, the log says so, the statistics' `problem` too, and the next link tells us
again after a restart.

The daemon's store writes in a thread (`ramsterd.membership.background_store`); what it can't find
out at once it tells later.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from config.errors import ConfigError
from config.event_kinds import EventKind, about
from config.model import ClusterConfig, NodeConfig
from config.reader import show
from net.frame import Frame
from net.link import Link
from nodemanager.changes import (
    AlreadySo,
    Change,
    ChangeRefused,
    MembershipHistory,
    Said,
    describe,
    version_of,
    without_order,
)
from nodemanager.ids import NodeId
from nodemanager.member_differences import differences
from nodemanager.membership import MembershipStore, StoreCheck
from nodemanager.states import ENDED_STATES
from ramsterd.membership.inquiries import DrainSaid, Inquiries
from ramsterd.membership.messages import (
    MemberMessage,
    members_message,
    parse_ask,
    parse_holdings,
    parse_members,
)
from ramsterd.membership.page_path import PagePath

logger = logging.getLogger("ramster.members")


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersStatistics:
    """One snapshot."""

    version: int
    # At which node the members were changed last; None: they never were.
    origin: NodeId | None
    is_removed: bool
    # Why the file does not hold the present members, or why those of a peer are not taken over.
    problem: str
    # Of these two the first.
    unwritten: str = ""
    # Why the next change can't be written: no room, or a disk that hangs; empty: nothing is known
    # that speaks against it.
    unwritable: str = ""
    # Nodes that have other members for the same version, by name.
    differs_from: tuple[str, ...] = ()
    # What members that drain said of themselves.
    drains: dict[NodeId, DrainSaid] = field(default_factory=dict)


class Members:
    """See the module's text."""

    def __init__(
        self,
        engine: PagePath,
        cluster: ClusterConfig,
        *,
        links: Mapping[NodeId, Link],
        apply: Callable[[ClusterConfig], None],
        store: MembershipStore | None = None,
        has_tls: bool = False,
    ) -> None:
        """Wire it.

        Args:
            engine: Answers what we have to do with a node.
            cluster: The membership as it was loaded.
            links: The open links.
            apply: Makes links, heartbeat and engine follow; called with each new cluster.
            store: Where it is kept; None: nowhere, as in tests.
            has_tls: Whether links are TLS, so that members need not be on loopback.
        """
        self._engine = engine
        self._local = engine.nodes.local
        self._links = links
        self._apply = apply
        self._store = store
        # What the store is known to hold; differs from the present cluster after a failed save.
        self._kept = cluster
        self._history = MembershipHistory(cluster, self._local, has_tls=has_tls)
        self.inquiries = Inquiries(engine, links)
        self.inquiries.on_members(cluster)
        # Why the store does not hold the present members, and why those of a peer are not ours;
        # empty: all is well.
        self._unwritten = self._refused = ""
        # Why the store has no room for the next ones.
        self._unwritable = ""
        # Who has other members for the present version.
        self._differs_from: set[NodeId] = set()

    @property
    def cluster(self) -> ClusterConfig:
        """Return the present membership."""
        return self._history.cluster

    @property
    def local(self) -> NodeId:
        """Return the number of this node."""
        return self._local

    @property
    def is_removed(self) -> bool:
        """Whether we ourselves are no member any more."""
        return all(node.number != self._local for node in self.cluster.node)

    def is_reached(self, node: NodeId) -> bool:
        """Whether a member hears of a change at once: it is linked, or ourselves."""
        return node == self._local or node in self._links

    def is_down(self, node: NodeId) -> bool:
        """Whether a member can be asked nothing until ramsterd is started there, as far as this node knows."""
        if self.is_reached(node) or node not in self._engine.nodes:
            return False
        return self._engine.nodes.state(node) in ENDED_STATES

    def find(self, name: str) -> NodeConfig:
        """Return the member of a name, or else of a number.

        Raises:
            ChangeRefused: There is none.
        """
        nodes = self.cluster.node
        by_number = {str(node.number): node for node in nodes}
        by_name = {
            node.name: node for node in nodes
        }  # a name that looks like a number counts as a name
        if (found := by_name.get(name) or by_number.get(name)) is not None:
            return found
        members = ", ".join(f"{node.name} ({node.number})" for node in nodes)
        expected = f"the name or the number of a member: {members}"
        raise ChangeRefused(f"node: found {show(name)}, expected {expected}")

    def _told(self, change: Change) -> str:
        return describe(change, self._engine.nodes.name)

    def change(self, change: Change) -> None:
        """Make a change here and tell everybody.

        Raises:
            AlreadySo: (a ChangeRefused) It changes nothing.  What could not be written before is
                written now, if it can be.
            ChangeRefused: It breaks a rule, or we are no member.
            ConfigError: It can't be written; nothing has changed.
        """
        if self.is_removed:
            raise ChangeRefused("this node was removed from the cluster; ask another one")
        before = self.cluster
        try:
            cluster = self._history.propose(change)
        except AlreadySo:
            if self._unwritten:
                self._save(self.cluster)
            raise
        self._save(cluster)
        self._history.commit(change, cluster)
        self._refused = ""
        told = differences(before, cluster)
        logger.info(
            "membership version %d, changed here: %s", self._history.version.number, told,
            extra=about(EventKind.MEMBERS_CHANGED),
        )  # fmt: skip
        self._act()

    def on_written(self, problem: str) -> None:
        """Hear from a store that writes later what became of it: an empty text, or why it failed."""
        self._unwritten = problem

    def on_room(self, problem: str) -> None:
        """Hear whether the store has room for the next change: an empty text, or why not."""
        self._unwritable = problem

    def check_store(self) -> StoreCheck:
        """Say in the log whether the store still holds what we believe.

        What else it holds is not taken over.

        What could not be written is written now, if the store is again as it was known, or can be
        written again.
        """
        if self._store is None:
            return StoreCheck()
        if self._unwritten:
            try:
                self._save(self.cluster)
            except ConfigError as error:
                return StoreCheck(problem=f"can't write the cluster file: {error}")
            logger.info(
                "the present members are written to the cluster file",
                extra=about(EventKind.MEMBERS_WRITTEN),
            )
            return StoreCheck()
        try:
            found = self._store.load()
        except ConfigError as error:
            return StoreCheck(
                problem="the members stay as they are: the cluster file has a mistake; correct it, or copy it from another"
                f" member: {error}"
            )
        if found.in_order() == self._kept.in_order():
            logger.info("the cluster file has not changed")
            return StoreCheck()
        told = differences(self._kept, found) or "other settings than members"
        edited = (
            "`ramsterctl node` is refused here: the cluster file was changed by hand, and a running daemon does not read"
            f" it. Put the file back and use `ramsterctl node`, or restart the daemon. In the file: {told}"
        )
        logger.warning("%s", edited, extra=about(EventKind.MEMBERS_DIFFER))
        return StoreCheck(edited=edited)

    def statistics(self) -> MembersStatistics:
        """Return a snapshot."""
        version = self._history.version
        return MembersStatistics(
            version=version.number,
            origin=NodeId(version.origin) if version.number else None,
            is_removed=self.is_removed,
            problem=self._unwritten or self._refused,
            unwritten=self._unwritten,
            unwritable=self._unwritable,
            differs_from=tuple(
                self._engine.nodes.name(node) for node in sorted(self._differs_from)
            ),
            drains=self.inquiries.drains_said(),
        )

    def last_changed_at(self) -> str:
        """Return the name of the node where the members were changed last.

        Empty: they never were.
        """
        version = self._history.version
        return self._engine.nodes.name(NodeId(version.origin)) if version.number else ""

    # What links tell.

    def on_link_up(self, link: Link) -> None:
        """Tell a peer what we believe; it does the same, and the newer membership wins."""
        self._post(link)

    def on_frame(self, link: Link, frame: Frame) -> None:
        """Handle one frame of `MemberMessage`.

        Raises:
            RemoteProtocolError: It breaks the protocol.
        """
        match frame.type:
            case MemberMessage.MEMBERS:
                self._on_said(link.node, parse_members(frame))
            case MemberMessage.ASK:
                self.inquiries.on_ask(parse_ask(frame), link.node)
            case _:
                self.inquiries.on_holdings(link.node, parse_holdings(frame))

    def on_link_lost(self, node: NodeId) -> None:
        """Nobody waits for its answer any more."""
        self.inquiries.on_link_lost(node)

    def _on_said(self, source: NodeId, said: Said) -> None:
        history, name = self._history, self._engine.nodes.name(source)
        self._differs_from.discard(source)
        if said.version == history.version and _differ(said.nodes, self.cluster.node):
            self._differs_from.add(source)
            logger.warning(
                "node %s has other members for the same membership version %d: the cluster files differ;"
                " the next change with `ramsterctl node` makes them equal",
                name,
                said.version.number,
                extra=about(EventKind.MEMBERS_DIFFER, node=name),
            )
        before, was_unknown = self.cluster, history.is_unknown_to(said)
        try:
            adopted = history.on_said(said)
        except ChangeRefused as refused:
            self._refused = f"the members of node {name} break a rule here: {refused}"
            logger.warning(
                "the members of node %s are not used: %s", name, refused,
                extra=about(EventKind.MEMBERS_DIFFER, node=name),
            )  # fmt: skip
            return
        if adopted is None:
            return
        self._refused = ""
        for change in adopted.made_again:
            logger.info(
                "a change made here is repeated after the change of node %s: %s",
                name,
                self._told(change),
                extra=about(EventKind.MEMBERS_CHANGED, node=name),
            )
        for change, reason in adopted.given_up:
            told = self._told(change)
            logger.warning(
                "a change made here is dropped, because another node changed the members too: %s: %s",
                told, reason, extra=about(EventKind.MEMBERS_CHANGED, node=name),
            )  # fmt: skip
        told = differences(before, self.cluster)
        logger.info(
            "membership version %d, received from node %s: %s",
            history.version.number,
            name,
            told or "the same members",
            extra=about(EventKind.MEMBERS_CHANGED, node=name),
        )
        if was_unknown and told:
            logger.warning(
                "members of this node are replaced by newer ones of node %s, which did not know version %d of this node (changed"
                " before a restart, or by hand): %s. Repeat a lost change with `ramsterctl node`",
                name,
                version_of(before).number,
                told,
                extra=about(EventKind.MEMBERS_CHANGED, node=name),
            )
        try:
            self._save(self.cluster)
        except ConfigError as error:
            logger.warning(
                "can't write the members to the cluster file: %s; remove the cause, then type `ramsterctl config reload`",
                error,
                extra=about(EventKind.MEMBERS_UNWRITTEN),
            )
        if self.is_removed:
            logger.warning(
                "this node was removed from the cluster (membership version %d, changed at node %s): it closes its links, and other"
                " nodes refuse it. Stop it with `systemctl stop ramsterd`. To bring it back, empty: `ramsterctl node add` at a"
                " member, with a number that no node had before",
                history.version.number, self.last_changed_at(), extra=about(EventKind.NODE_REMOVED),
            )  # fmt: skip
        self._act()

    def _save(self, cluster: ClusterConfig) -> None:
        if self._store is None:
            return
        try:
            self._store.save(cluster, known=self._kept)
        except ConfigError as error:
            self._unwritten = str(error)
            raise
        self._unwritten = ""
        self._kept = cluster

    def _act(self) -> None:
        self.inquiries.on_members(self.cluster)
        # What others have of a version that is over is no difference.
        self._differs_from.clear()
        # First the word, then the deed: a node that is gone hears why its link ends.
        for link in list(self._links.values()):
            self._post(link)
            link.push()
        self._apply(self.cluster)

    def _post(self, link: Link) -> None:
        table, body = members_message(self._history.say())
        link.post(MemberMessage.MEMBERS, count=len(self.cluster.node), table=table, body=(body,))


def _differ(one: tuple[NodeConfig, ...], other: tuple[NodeConfig, ...]) -> bool:
    """Whether two lists differ in more than an earlier release knows of a drain."""
    return set(map(without_order, one)) != set(map(without_order, other))
