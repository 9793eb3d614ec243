"""Members: changes of the cluster in, from an operator or a peer; the file, the links and the engine follow.

Each change is kept in the store first and acted on after: a change that can't be written is refused.  One that
a peer brings is acted on in any case, for the cluster has it already; if it can't be written here, the
log says so, `problem` too, and the next link tells us again after a restart.

Writing blocks the loop for as long as an fsync takes.  Changes come from an operator's hand, so be it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from config.errors import ConfigError
from config.model import ClusterConfig, NodeConfig
from config.reader import show
from net.frame import Frame
from net.link import Link
from nodemanager.changes import Change, ChangeRefused, MembershipHistory, Said
from nodemanager.ids import NodeId
from nodemanager.membership import MembershipStore
from ramsterd.engine import Engine
from ramsterd.member_messages import (
    Holdings,
    MemberMessage,
    ask_message,
    holdings_message,
    members_message,
    parse_ask,
    parse_holdings,
    parse_members,
)

logger = logging.getLogger("ramster.members")


@dataclass(slots=True)
class Inquiry:
    """What all linked nodes have to do with one node; answers come in one by one."""

    began_at: float
    waits_for: set[NodeId]
    answers: dict[NodeId, Holdings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MembersStatistics:
    """One snapshot."""

    version: int
    origin: int
    is_removed: bool
    problem: str


class Members:
    """See the module's text."""

    def __init__(
        self,
        engine: Engine,
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
        # Under way, or given up by whoever asked: at most one for each member.
        self.inquiries: dict[NodeId, Inquiry] = {}
        # Why the store does not hold the present members; empty: it does.
        self.problem = ""

    @property
    def cluster(self) -> ClusterConfig:
        """Return the present membership."""
        return self._history.cluster

    @property
    def is_removed(self) -> bool:
        """Whether we ourselves are no member any more."""
        return all(node.number != self._local for node in self.cluster.node)

    def find(self, name: str) -> NodeConfig:
        """Return the member of a name.

        Raises:
            ChangeRefused: There is none.
        """
        for node in self.cluster.node:
            if node.name == name:
                return node
        names = ", ".join(node.name for node in self.cluster.node)
        raise ChangeRefused(f"node: found {show(name)}, expected the name of a member: {names}")

    def change(self, change: Change) -> None:
        """Make a change here and tell everybody.

        Raises:
            ChangeRefused: It breaks a rule, or we are no member.
            ConfigError: It can't be written; nothing has changed.
        """
        if self.is_removed:
            raise ChangeRefused("this node was removed from the cluster; ask another one")
        cluster = self._history.propose(change)
        self._save(cluster)
        self._history.commit(change, cluster)
        logger.info("membership %s: %s", self._history.version, change)
        self._act()

    def statistics(self) -> MembersStatistics:
        """Return a snapshot."""
        version = self._history.version
        return MembersStatistics(
            version=version.number,
            origin=version.origin,
            is_removed=self.is_removed,
            problem=self.problem,
        )

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
                node = parse_ask(frame)
                link.post(MemberMessage.HOLDINGS, count=1, table=holdings_message(self.own(node)))
            case _:
                self._on_holdings(link.node, parse_holdings(frame))

    def on_link_lost(self, node: NodeId) -> None:
        """Nobody waits for its answer any more."""
        for inquiry in self.inquiries.values():
            inquiry.waits_for.discard(node)

    def _on_said(self, source: NodeId, said: Said) -> None:
        history = self._history
        if said.version == history.version and set(said.nodes) != set(self.cluster.node):
            logger.warning(
                "node %d has other members under the same version %s: the files differ;"
                " the next change by `ramsterctl node` makes them alike",
                source,
                said.version,
            )
        try:
            adopted = history.on_said(said)
        except ChangeRefused as refused:
            logger.warning("members from node %d are not taken over: %s", source, refused)
            return
        if adopted is None:
            return
        for change in adopted.made_again:
            logger.info("made again on top of what node %d said: %s", source, change)
        for change, reason in adopted.given_up:
            logger.warning("given up, for another node changed members too: %s: %s", change, reason)
        logger.info("membership %s, from node %d", history.version, source)
        try:
            self._save(self.cluster)
        except ConfigError as error:
            logger.warning("the members are not written: %s", error)
        if self.is_removed:
            logger.warning("this node was removed from the cluster: it takes part in nothing more")
        self._act()

    def _save(self, cluster: ClusterConfig) -> None:
        if self._store is None:
            return
        try:
            self._store.save(cluster, known=self._kept)
        except ConfigError as error:
            self.problem = str(error)
            raise
        self.problem = ""
        self._kept = cluster

    def _act(self) -> None:
        # First the word, then the deed: a node that is gone hears why its link ends.
        for link in list(self._links.values()):
            self._post(link)
            link.push()
        self._apply(self.cluster)

    def _post(self, link: Link) -> None:
        table, body = members_message(self._history.say())
        link.post(MemberMessage.MEMBERS, count=len(self.cluster.node), table=table, body=(body,))

    # Who has to do with a node.

    def own(self, node: NodeId) -> Holdings:
        """Return what we ourselves have to do with a node."""
        return Holdings(node, self._engine.pages_there(node), self._engine.pages_here(node))

    def ask(self, node: NodeId) -> Inquiry:
        """Ask every linked node, except that one, what it has to do with it."""
        asked = {each: link for each, link in self._links.items() if each != node}
        inquiry = self.inquiries[node] = Inquiry(trio.current_time(), set(asked))
        if node != self._local:
            inquiry.answers[self._local] = self.own(node)
        for link in asked.values():
            link.post(MemberMessage.ASK, count=1, table=ask_message(node))
            link.push()
        return inquiry

    def _on_holdings(self, source: NodeId, holdings: Holdings) -> None:
        inquiry = self.inquiries.get(holdings.node)
        if inquiry is not None and source in inquiry.waits_for:
            inquiry.waits_for.discard(source)
            inquiry.answers[source] = holdings
