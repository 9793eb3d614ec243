"""Inquiries: what all linked nodes have to do with one node, before it is removed or as it drains.

Each node that is asked counts the pages of its own that only that node has, which takes a while;
answers come in one by one.  The asker looks at them when it likes, and may have gone.

A node that drains tells all peers whenever it has counted, so that its drain has the same figures
at each member, and none has to ask.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from config.model import ClusterConfig
from net.link import Link
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from ramsterd.membership.ending import describe_ending
from ramsterd.membership.messages import Holdings, MemberMessage, ask_message, holdings_message
from ramsterd.membership.page_path import PagePath
from ramsterd.remote.home.last_copies import Counted

logger = logging.getLogger("ramster.members")

# To count the pages of 500 GiB takes as long.
DRAIN_ANSWER_SECONDS_MAX: Final = 300.0
# An answer of before is asked for again, before an operator decides by it.
PLAN_SECONDS_MAX: Final = 10.0


@dataclass(slots=True)
class Inquiry:
    """What all linked nodes have to do with one node; answers come in one by one."""

    began_at: float
    # When the asker was here last.
    polled_at: float
    waits_for: set[NodeId]
    answers: dict[NodeId, Holdings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSaid:
    """What a node that drains said last of itself; None: it has said nothing yet."""

    # Whether it has a link to this node, or is this one.
    is_reached: bool
    pages_foreign: int | None = None
    # The most that there were in this drain.  None also: its release does not say.
    pages_foreign_max: int | None = None
    pages_own_elsewhere: int | None = None
    pages_owned: int | None = None
    clients: int | None = None
    # How long ago it said that: to count takes minutes at a large node.
    said_seconds: float | None = field(default=None, compare=False)


@dataclass(slots=True)
class _Asked:
    """A node that is asked about itself: what it said last, whether an answer is on its way, and since when."""

    # Of its drain; 0: it does not drain, or nobody knows.
    number: int = 0
    said: Holdings | None = None
    said_at: float = float("-inf")
    is_waiting: bool = False
    asked_at: float = float("-inf")

    def on_said(self, holdings: Holdings, now: float) -> None:
        """It says how it stands; what it was not asked for is no answer to what is under way."""
        self.said, self.said_at = holdings, now
        self.is_waiting &= holdings.is_unasked


class Inquiries:
    """Those under way, or given up by the asker: at most one for each member, by what is to be done with it."""

    def __init__(self, engine: PagePath, links: Mapping[NodeId, Link]) -> None:
        self._engine = engine
        self._local = engine.nodes.local
        self._links = links
        self.removals: dict[NodeId, Inquiry] = {}
        self._drains: dict[NodeId, _Asked] = {}
        # Of nodes that an operator would like to drain.
        self._plans: dict[NodeId, _Asked] = {}
        # Who waits for what we have to do with a node, while our pages are counted.
        self._askers: dict[NodeId, set[NodeId]] = {}
        # How many programs use this node; the daemon knows.
        self.count_clients: Callable[[], int] = lambda: 0
        # The drain of this node, and how many pages of others were here at most in it.
        self._our_drain: int | None = None
        self._here_max = 0
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

    def ask_drained(self, node: NodeId) -> None:
        """Ask a node that drains what it still keeps, and what of its own is not at home.

        Not while it counts for us already: to ask again would begin the count anew.
        """
        drain = self._drains.get(node)
        if drain is None:
            return
        is_late = trio.current_time() - drain.asked_at >= DRAIN_ANSWER_SECONDS_MAX
        if not drain.is_waiting or is_late:
            self._ask_itself(node, drain)

    def plan_drain(self, node: NodeId) -> DrainSaid:
        """Return what a node says of itself that does not drain.

        It takes several calls: the first asks, and one of the others has the answer.
        """
        plan = self._plans.setdefault(node, _Asked())
        # One that nobody came back to says how things were.
        if trio.current_time() - plan.asked_at >= PLAN_SECONDS_MAX:
            plan.said = None
            if not plan.is_waiting:
                self._ask_itself(node, plan)
        return _drain_said(plan, self._is_reached(node))

    def _ask_itself(self, node: NodeId, asked: _Asked) -> None:
        asked.is_waiting = self._is_reached(node)
        asked.asked_at = trio.current_time()
        if asked.is_waiting:
            self._ask(node, {node})

    def _is_reached(self, node: NodeId) -> bool:
        return node == self._local or node in self._links

    def on_members(self, cluster: ClusterConfig) -> None:
        """Members have changed: what was said of a drain that is over counts no more."""
        draining = {
            NodeId(node.number): node.drain_number for node in cluster.node if node.draining
        }
        for node, number in draining.items():
            known = self._drains.get(node)
            if known is None or known.number != number:
                self._drains[node] = _Asked(number)
        self._drains = {node: self._drains[node] for node in draining}
        self._plans.clear()
        if self._our_drain != draining.get(self._local):
            self._our_drain, self._here_max = draining.get(self._local), 0
        self._count_here()

    def _count_here(self) -> int:
        """Return how many pages of others were here at most while this node drains; 0: it does not."""
        if self._our_drain is not None:
            self._here_max = max(self._here_max, self._engine.pages_here(self._local))
        return self._here_max

    def drains_said(self) -> dict[NodeId, DrainSaid]:
        """Return what each node that drains said last."""
        return {
            node: _drain_said(each, self._is_reached(node)) for node, each in self._drains.items()
        }

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
            pages_here_max=self._count_here() if is_ours else 0,
        )
        if is_ours:
            self._say_what_ends(holdings)
        askers = self._askers.pop(node, set())
        for each in sorted(askers):
            self._tell(each, holdings)
        if is_ours and self._our_drain is not None:
            unasked = replace(holdings, is_unasked=True)
            for each in sorted(self._links.keys() - askers):
                self._tell(each, unasked)

    def _tell(self, asker: NodeId, holdings: Holdings) -> None:
        if asker == self._local:
            self.on_holdings(asker, holdings)
        elif (link := self._links.get(asker)) is not None:
            link.post(MemberMessage.HOLDINGS, count=1, table=holdings_message(holdings))
            link.push()

    def on_holdings(self, source: NodeId, holdings: Holdings) -> None:
        """A node, or we ourselves, answered."""
        inquiry = self.removals.get(holdings.node)
        is_answer = not holdings.is_unasked
        if inquiry is not None and source in inquiry.waits_for and is_answer:
            inquiry.waits_for.discard(source)
            inquiry.answers[source] = holdings
        if holdings.node != source:
            return
        drain, plan, now = self._drains.get(source), self._plans.get(source), trio.current_time()
        if drain is not None and (drain.is_waiting or not is_answer):
            drain.on_said(holdings, now)
        if plan is not None and plan.is_waiting and is_answer:
            plan.on_said(holdings, now)

    def on_link_lost(self, node: NodeId) -> None:
        """Nobody waits for its answer any more."""
        for inquiry in self.removals.values():
            inquiry.waits_for.discard(node)
        for asked in (self._drains.get(node), self._plans.get(node)):
            if asked is not None:
                asked.is_waiting = False

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


def _drain_said(asked: _Asked, is_reached: bool) -> DrainSaid:
    said = asked.said
    if said is None:
        return DrainSaid(is_reached=is_reached)
    return DrainSaid(
        is_reached=is_reached,
        pages_foreign=said.pages_here,
        pages_foreign_max=said.pages_here_max or None,
        pages_own_elsewhere=said.last_copies,
        pages_owned=said.pages_owned,
        clients=said.clients,
        said_seconds=trio.current_time() - asked.said_at,
    )
