"""All links of this node: one listener, one dialler for each member with a lower number.

`Mesh` is what the daemon uses.  It decides who may link to us (the HELLO, and no second link), and
keeps `links`, the open ones.  A member that is added is dialled, one that is removed loses its
link: call `on_members_changed`.
"""

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NoReturn

import trio

from config.endpoint import join_endpoint
from config.lookup import named_after
from net.backoff import Backoff
from net.certificates import show_names
from net.connection import Connection, ConnectionLimits
from net.dialer import Over, RedialTimer, dial_forever, is_dialer
from net.frame import FrameLimits
from net.hello import Hello, judge_hello
from net.judgement import Accepted, Judgement, Refused, Undecided, judge_second_link
from net.link import Link, LinkHandler
from net.listener import GREETINGS_MAX, Listener, ListenerStatistics, check_plaintext
from net.listening import Listening
from net.moves import Address, Moves
from net.peerlink import SEND_QUEUE_BYTES_MAX, PeerLink
from net.resolving import Resolve, as_written
from net.tls import TlsTransport, certified_names
from net.transport import PortStatus, Stream, Transport
from net.why import sort_reason
from nodemanager.ids import Incarnation, NodeId, nameless
from nodemanager.incarnations import show_start
from nodemanager.states import LinkState

log = logging.getLogger("ramster.net")


def ignore_no_link(_node: NodeId, _why: LinkState, _reason: str) -> None:
    """Serve a mesh whose owner asks nobody why there is no link."""


# A living peer says KEEPALIVE once in that time.
SILENT_KEEPALIVES: Final = 3


def nothing_known(_: NodeId) -> None:
    """Know no incarnation of anybody."""


def ignore_outdated(_: NodeId, __: Incarnation) -> None:
    """Serve a mesh whose node never begins a new incarnation."""


class Mesh:
    """The links of one node.  `serve` runs until cancelled; then every link says GOODBYE."""

    def __init__(
        self,
        hello: Hello,
        *,
        members: Callable[[], Mapping[NodeId, Address]],
        names: Callable[[], Mapping[NodeId, str]] | None = None,
        handler: LinkHandler,
        transport: Transport,
        limits: Mapping[int, FrameLimits],
        rng: random.Random,
        newest: Callable[[NodeId], Incarnation | None] = nothing_known,
        on_outdated: Callable[[NodeId, Incarnation], None] = ignore_outdated,
        insecure_plaintext: bool = False,
        connection_limits: ConnectionLimits | None = None,
        send_queue_bytes_max: int = SEND_QUEUE_BYTES_MAX,
        greetings_max: int = GREETINGS_MAX,
        on_no_link: Callable[[NodeId, LinkState, str], None] = ignore_no_link,
        resolve: Resolve = as_written,
    ) -> None:
        # The links that are open, by node.  Read it; links enter and leave by themselves.
        self.links: dict[NodeId, Link] = {}
        self._hello = hello
        self._members = members
        # What cluster.toml calls each node: links with certificates are held to it.
        self._names = names
        self._handler = handler
        self._transport = transport
        self._limits = limits
        self._rng = rng
        # The newest incarnation that is known of each node: no earlier one is linked.
        self._newest = newest
        # Told when a peer says that it knows this newer incarnation of ours.
        self._on_outdated = on_outdated
        self._insecure_plaintext = insecure_plaintext
        self._connection_limits = connection_limits or ConnectionLimits(
            keepalive_seconds=hello.timers.keepalive_seconds, idle_seconds=hello.timers.idle_seconds
        )
        self._send_queue_bytes_max = send_queue_bytes_max
        self._listener = Listener(transport, self._run_accepted, greetings_max=greetings_max)
        # Told why there is no link to a node: each time that it is dialled in vain, or refused
        # here.
        self._on_told_no_link = on_no_link
        self._resolve = resolve
        self._moves = Moves(members())
        self._listening: Listening | None = None
        self._nursery: trio.Nursery | None = None
        self._dialers: dict[NodeId, tuple[trio.CancelScope, RedialTimer]] = {}

    async def serve(
        self, *, task_status: PortStatus, addresses: Sequence[str] | None = None
    ) -> None:
        """Listen (at our own entry among the members, unless told otherwise) and dial, until cancelled.

        `task_status.started(port)` tells the port when the listener is ready.

        Raises:
            LocalProtocolError: An address is not loopback and `insecure_plaintext` is not set.
            OSError: None of the addresses can be bound, or our host has none.
        """
        host, port = self._members()[self._hello.number]
        if addresses is None:
            addresses = await self._resolve(host)
        self._check_plaintext(addresses)
        async with trio.open_nursery() as nursery:
            self._listening = Listening(self._listener, nursery)
            with named_after(host, port):
                await self.listen_at(addresses, port)
            self._nursery = nursery
            try:
                self.on_members_changed()
                task_status.started(self.places()[0][1])
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def places(self) -> list[tuple[str, int]]:
        """Return addresses and ports where links are accepted."""
        return [] if self._listening is None else self._listening.places()

    async def listen_at(self, addresses: Sequence[str], port: int) -> None:
        """Accept links at those of these addresses that this machine has, and at no others, from now on.

        Links that are open stay.

        Raises:
            LocalProtocolError: An address is not loopback and `insecure_plaintext` is not set.
            OSError: None of them can be bound: nothing has changed.
        """
        assert self._listening is not None, "it serves"
        self._check_plaintext(addresses)
        await self._listening.listen_at(addresses, port)

    def _check_plaintext(self, addresses: Sequence[str]) -> None:
        if not isinstance(self._transport, TlsTransport):
            for address in addresses:
                check_plaintext(address, insecure_plaintext=self._insecure_plaintext)

    def listener_statistics(self) -> ListenerStatistics:
        """Return what became of accepted connections."""
        outdated = sum(self.is_outdated(link) for link in self.links.values())
        return replace(self._listener.statistics(), outdated_links=outdated)

    @property
    def silent_seconds(self) -> float:
        """After how much silence of a link the dialling side tries another: its end may be the only one left."""
        return SILENT_KEEPALIVES * self._connection_limits.keepalive_seconds

    def on_members_changed(self) -> None:
        """Dial the members that are new, and drop the links of those that are gone.

        Before `serve` there is nothing to dial with; it begins by calling this.
        """
        members = self._members()
        ours = self._hello.number
        for node in self._moves.on_members_changed(members):
            if node in self._dialers:
                log.info(
                    "node %s has moved to %s: it is dialled there",
                    self._shown(node),
                    join_endpoint(*members[node]),
                )
                self._dialers[node][1].on_moved()
        for node in [node for node in self._dialers if node not in members]:
            scope, _ = self._dialers.pop(node)
            scope.cancel()
        for node, link in list(self.links.items()):
            if node not in members:
                gone = self._hello.name if ours not in members else name_of_peer(link)
                link.close(f"node {gone} was removed from the cluster")
        for node in members:
            if self._nursery is None:
                return
            if is_dialer(ours, node) and node not in self._dialers:
                # Each dialler draws its own jitter, so that one pair's luck does not change
                # another's.
                backoff = Backoff(random.Random(self._rng.getrandbits(64)))  # noqa: S311  jitter, no secret
                dialer = self._dialers[node] = trio.CancelScope(), RedialTimer(backoff)
                self._nursery.start_soon(self._dial, node, *dialer)

    def on_process_begun(self, node: NodeId) -> None:
        """A peer has started, or moved, and listens: if it is to be dialled, do it soon."""
        if node in self._dialers:
            _, timer = self._dialers[node]
            timer.hasten()

    def ask(self, node: NodeId) -> None:
        """Ask for a sign of life over the link of a node, if there is one."""
        if (link := self.links.get(node)) is not None:
            link.ask()

    def begin_incarnation(self, incarnation: Incarnation) -> None:
        """Be this from now on: peers that are linked, or about to be, with another one are to be linked anew."""
        self._hello = replace(self._hello, incarnation=incarnation, attach_count=0)
        for link in list(self.links.values()):
            link.close(f"node {self._hello.name} begins a new incarnation")

    async def _dial(self, node: NodeId, scope: trio.CancelScope, timer: RedialTimer) -> None:
        with scope:
            async with trio.open_nursery() as links:
                await dial_forever(
                    self._shown(node),
                    self._transport,
                    lambda: self._members().get(node),
                    partial(self._run_dialed, node, links, timer),
                    timer,
                    on_no_link=partial(self._on_no_link, node),
                    wait_wanted=partial(self._wait_silent, node, timer),
                    resolve=self._resolve,
                )

    def _on_no_link(self, node: NodeId, reason: str) -> bool:
        link = self.links.get(node)
        if link is None:  # one that fell silent is a link still
            self._on_told_no_link(node, *sort_reason(reason))
        return link is not None and self.is_outdated(link)

    async def _run_dialed(
        self, node: NodeId, links: trio.Nursery, timer: RedialTimer, stream: Stream
    ) -> Over:
        """Run a link until it is over.

        When it falls silent, or the peer moves, it goes on, and another may be made beside it.
        """
        link = self._new_link(stream, expected=node)
        links.start_soon(link.run)
        with timer.watching_link():
            await link.wait_silent(self.silent_seconds)
        if link.reason is not None:
            return Over(link.reason, is_said=link.theirs is not None)
        if self.is_outdated(link):
            return Over("it has moved", is_said=True)
        return Over(f"no data for {self.silent_seconds:g} s")

    async def _wait_silent(self, node: NodeId, timer: RedialTimer) -> None:
        """Return when there is no link to a node, or one that is silent, or was made before it moved."""
        link = self.links.get(node)
        if isinstance(link, PeerLink) and not self.is_outdated(link):
            with timer.watching_link():
                await link.wait_silent(self.silent_seconds)

    def is_outdated(self, link: Link) -> bool:
        """Whether a link was made before its listening side moved."""
        assert isinstance(link, PeerLink), "the links of a mesh are all of one kind"
        ours = self._hello.number
        return link.moves < self._moves.count(link.node if is_dialer(ours, link.node) else ours)

    async def _run_accepted(self, stream: Stream, greeted: Callable[[], None]) -> str:
        link = self._new_link(stream, expected=None, greeted=greeted)
        try:
            return await link.run()
        except Exception as error:
            # The listener survives whatever a connection does, but a bug of ours must end us no
            # matter who dialled: raise it in the nursery of `serve`.
            if self._nursery is None:
                raise
            self._nursery.start_soon(reraise, error)
            return f"a bug of ours: {error!r}"

    def _new_link(
        self, stream: Stream, *, expected: NodeId | None, greeted: Callable[[], None] | None = None
    ) -> PeerLink:
        ours = self._hello
        connection = Connection(
            ours,
            is_dialer=expected is not None,
            judge=partial(
                self._judge, ours=ours, stream=stream, expected=expected, greeted=greeted
            ),
            limits=self._connection_limits,
            now=trio.current_time(),
        )
        return PeerLink(
            stream,
            connection,
            handler=self._handler,
            limits=self._limits,
            links=self.links,
            on_outdated=partial(self._on_floor, stream, expected),
            send_queue_bytes_max=self._send_queue_bytes_max,
            moves=self._moves.count(ours.number if expected is None else expected),
        )

    def _judge(
        self,
        theirs: Hello,
        doubt: Undecided | None,
        *,
        ours: Hello,
        stream: Stream,
        expected: NodeId | None,
        greeted: Callable[[], None] | None,
    ) -> Judgement:
        """Return whether they may link to us.

        `doubt` is what this said before, if that was undecided.
        """
        judgement: Judgement
        reason = judge_hello(ours, theirs, members=self._members(), expected=expected)
        if reason is None and ours is not self._hello:
            reason = f"node {self._hello.name} has begun a new incarnation meanwhile"
        if reason is None:
            reason = self._judge_name(theirs, certified_names(stream))
        if reason is not None:
            judgement = Refused(reason)
        else:
            judgement = self._judge_second_link(theirs, doubt, is_dialer=expected is not None)
        match judgement:
            case Refused(reason):
                self._listener.logger_of(stream).warning(
                    "refused node %s (%d): %s", theirs.name, theirs.number, reason
                )
                self._on_told_no_link(theirs.number, LinkState.REFUSED_HERE, reason)
            case Accepted() if greeted is not None:
                greeted()
        return judgement

    def _judge_name(self, theirs: Hello, certified: frozenset[str] | None) -> str | None:
        """A link with a certificate belongs to the node whose name that holds, whatever HELLO says."""
        if certified is None:
            return None
        configured = self._name_of(theirs.number)
        if theirs.name != configured:
            return f"node {theirs.number} calls itself {theirs.name!r}, cluster.toml {configured!r}"
        if theirs.name not in certified:
            return f"the certificate is for {show_names(certified)}, not for {theirs.name}"
        return None

    def _shown(self, node: NodeId) -> str:
        return self._name_of(node) or nameless(node)

    def _name_of(self, node: NodeId) -> str | None:
        return None if self._names is None else self._names().get(node)

    def _judge_second_link(
        self, theirs: Hello, doubt: Undecided | None, *, is_dialer: bool
    ) -> Judgement:
        present, newest = self.links.get(theirs.number), self._newest(theirs.number)
        if newest is None and present is not None:
            newest = present.incarnation
        if newest is not None and theirs.incarnation < newest:
            reason = f"node {theirs.name} started at {show_start(theirs.incarnation)}, and a later start at {show_start(newest)} is known here"
            return Refused(reason, newest)
        # A newer one proves the present link dead, though its silence may not have shown yet (a
        # machine that lost power sends no FIN); the link replaces it as it opens.  So does a later
        # process of the same one.
        if present is None:
            return Accepted()
        present_process = present.incarnation, present.attach_count
        if theirs.process > present_process:
            return Accepted()
        if theirs.process < present_process:
            return Refused(f"node {theirs.number} was restarted since, with its memory kept")
        # The accepting side has judged before it answered.  That has moved, if the present link is
        # outdated, and was dialled where it is now.
        if is_dialer or self.is_outdated(present):
            return Accepted()
        return judge_second_link(present, doubt=doubt, now=trio.current_time())

    def _on_floor(
        self, stream: Stream, expected: NodeId | None, theirs: Hello | None, newest: Incarnation
    ) -> None:
        """Pass on which incarnation of ours a peer knows, if it is sure who says so."""
        node = expected if theirs is None else theirs.number
        if node is None:
            return  # nobody knows which node says so
        certified = certified_names(stream)
        if certified is None or self._name_of(node) in certified:
            self._on_outdated(node, newest)


def name_of_peer(link: Link) -> str:
    """Return how the node at the other end of an open link calls itself."""
    assert isinstance(link, PeerLink), "the links of a mesh are all of one kind"
    assert link.theirs is not None, "it is open"
    return link.theirs.name


async def reraise(error: Exception) -> NoReturn:
    """Raise in the task this runs in."""
    raise error
