"""Inquiries: what all linked nodes have to do with one node, before it is removed or as it drains.

Each node that is asked counts the pages of its own that only that node has, which takes a while;
answers come in one by one.  The asker looks at them when it likes, and may have gone.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from net.link import Link
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.membership.ending import describe_ending
from ramsterd.membership.messages import Holdings, MemberMessage, ask_message, holdings_message
from ramsterd.membership.page_path import PagePath
from ramsterd.remote.home.last_copies import Counted

logger = logging.getLogger("ramster.members")


@dataclass(slots=True)
class Inquiry:
    """What all linked nodes have to do with one node; answers come in one by one."""

    began_at: float
    # When the asker was here last.
    polled_at: float
    waits_for: set[NodeId]
    answers: dict[NodeId, Holdings] = field(default_factory=dict)


class Inquiries:
    """Those under way, or given up by the asker: at most one for each member, by what is to be done with it."""

    def __init__(self, engine: PagePath, links: Mapping[NodeId, Link]) -> None:
        self._engine = engine
        self._local = engine.nodes.local
        self._links = links
        self.removals: dict[NodeId, Inquiry] = {}
        self.drains: dict[NodeId, Inquiry] = {}
        # Who waits for what we have to do with a node, while our pages are counted.
        self._askers: dict[NodeId, set[NodeId]] = {}
        # How many programs use this node; the daemon knows.
        self.count_clients: Callable[[], int] = lambda: 0
        # What the log has said of the end of a drain of this node.
        self._said_ending = ""

    def may_have_pages(self, node: NodeId) -> bool:
        """Whether a peer had an incarnation that may go on, seen from here or not: it may have pages anywhere."""
        nodes = self._engine.nodes
        if node not in nodes:
            return False
        return nodes.incarnation(node) is not None and nodes.state(node) is not NodeState.LEFT

    def ask(self, node: NodeId) -> Inquiry:
        """Ask every linked node, that one and ourselves too, what it has to do with it."""
        self.removals[node] = inquiry = self._ask(node, {*self._links, self._local})
        return inquiry

    def ask_itself(self, node: NodeId) -> Inquiry:
        """Ask a node that drains what it still keeps, and what of its own is not at home."""
        asked = {node} & {*self._links, self._local}
        self.drains[node] = inquiry = self._ask(node, asked)
        return inquiry

    def _ask(self, node: NodeId, asked: set[NodeId]) -> Inquiry:
        for each in asked - {self._local}:
            self._links[each].post(MemberMessage.ASK, count=1, table=ask_message(node))
            self._links[each].push()
        if self._local in asked:
            self.on_ask(node, self._local)
        now = trio.current_time()
        return Inquiry(now, now, asked)

    def on_ask(self, node: NodeId, asker: NodeId) -> None:
        """Somebody asks what we have to do with a node: count our pages there."""
        askers = self._askers.setdefault(node, set())
        if asker in askers:
            return  # who asks twice hears once, or a count would never end
        askers.add(asker)
        self._engine.begin_last_copies_count(node, now=trio.current_time())

    def on_counted(self, counted: Counted) -> None:
        """Our pages are counted: tell the asker."""
        engine, node = self._engine, counted.node
        is_ours = node == self._local
        holdings = Holdings(
            node,
            counted.last_copies,
            engine.pages_there(node),
            engine.pages_here(node),
            pages_owned=engine.pages_owned() if is_ours else 0,
            clients=self.count_clients() if is_ours else 0,
        )
        if is_ours:
            self._say_what_ends(holdings)
        for asker in sorted(self._askers.pop(node, ())):
            if asker == self._local:
                self.on_holdings(asker, holdings)
            elif (link := self._links.get(asker)) is not None:
                link.post(MemberMessage.HOLDINGS, count=1, table=holdings_message(holdings))
                link.push()

    def on_holdings(self, source: NodeId, holdings: Holdings) -> None:
        """A node, or we ourselves, answered."""
        for inquiries in (self.removals, self.drains):
            inquiry = inquiries.get(holdings.node)
            if inquiry is not None and source in inquiry.waits_for:
                inquiry.waits_for.discard(source)
                inquiry.answers[source] = holdings

    def on_link_lost(self, node: NodeId) -> None:
        """Nobody waits for its answer any more."""
        for inquiry in (*self.removals.values(), *self.drains.values()):
            inquiry.waits_for.discard(node)

    def _say_what_ends(self, holdings: Holdings) -> None:
        """This node is asked about itself: at the end of a drain say once what a stop would end."""
        ours = self._engine.nodes.local_config
        if holdings.pages_here or not ours.draining:
            self._said_ending = ""
            return
        ending = describe_ending(
            ours.name, holdings.pages_owned, holdings.clients, may_be_kept=True
        )
        if ending and not self._said_ending:
            logger.warning("no pages of other nodes are left here; %s", ending)
        self._said_ending = ending
