"""The addresses of the members, kept up to date: names are looked up, and this node follows when it moves itself.

A thin shell around `ramsterd.membership.address_book`.  Links ask it for the addresses of a host
(`resolve`), heartbeats are told of all endpoints (`on_endpoints`), and both are told to listen
elsewhere when our own entry in cluster.toml, or what our name means, has changed.  An
address that this machine does not have yet is tried again and again; until it can be had, the
node listens where it did, for its links are there.
"""

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from config.endpoint import join_endpoint
from config.event_kinds import EventKind, about
from config.lookup import NameNotFound, named_after
from config.model import ClusterConfig
from heartbeat.routes import Endpoint
from net.listening import Place
from nodemanager.ids import NodeId
from nodemanager.states import NodeState
from nodemanager.table import NodeTable
from ramsterd.host.lookups import Lookups, LookupStatistics
from ramsterd.membership.address_book import FRESH_SECONDS, AddressBook, NameRow

logger = logging.getLogger("ramster.members")

# Until an interface gets an address that was ordered, or a name server is up again.
RETRY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressStatistics:
    """One snapshot."""

    # Where this node listens for links and heartbeats.
    listens_at: tuple[str, ...]
    # Why that is not where cluster.toml says; empty: it is.
    problem: str
    names: tuple[NameRow, ...]
    lookups: LookupStatistics


def ignore_endpoints(_: dict[NodeId, tuple[Endpoint, ...]]) -> None:
    """Serve a node without heartbeats."""


def is_up(nodes: NodeTable, node: NodeId) -> bool:
    """Whether another member is heard: its name need not be looked up often."""
    return node in nodes and nodes.state(node) is NodeState.UP


class Addresses:
    """See the module's text."""

    def __init__(
        self,
        cluster: ClusterConfig,
        local: NodeId,
        *,
        is_up: Callable[[NodeId], bool],
        lookups: Lookups | None = None,
    ) -> None:
        """Know the members; nothing is looked up before `run`.

        Args:
            cluster: All members, with us among them.
            local: Our number.
            is_up: Whether another member is heard.
            lookups: Looks names up.
        """
        self.book = AddressBook(cluster, local)
        self.on_endpoints: Callable[[dict[NodeId, tuple[Endpoint, ...]]], None] = ignore_endpoints
        self._is_up = is_up
        self._lookups = lookups or Lookups()
        self._changed = trio.Event()
        self._places: Callable[[], Sequence[Place]] = list
        self._problem = ""

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look up what is asked for, until cancelled."""
        await self._lookups.run(task_status=task_status)

    async def resolve(self, host: str) -> Sequence[str]:
        """Return the addresses of a host, to be tried in this order.

        Raises:
            NameNotFound: None is known.
        """
        if not self.book.is_fresh(host, now=trio.current_time()):
            await self._look_up(host)
        return self.book.addresses(host)

    async def _look_up(self, host: str) -> None:
        """Look a name up, and tell everybody who has to know.

        Raises:
            NameNotFound: None is known.
        """
        try:
            addresses = await self._lookups.find(host)
        except NameNotFound as error:
            known = self.book.addresses(host)
            if self.book.on_not_found(host, error.reason, now=trio.current_time()):
                rest = f"; {', '.join(known)}, found before, stays in use" if known else ""
                logger.warning(
                    "the name %s has no address here: %s%s", host, error.reason, rest,
                    extra=about(EventKind.NAME_NOT_FOUND, host=host),
                )  # fmt: skip
            if not known:
                raise
            return
        before = self.book.addresses(host)
        if not self.book.on_found(host, addresses, now=trio.current_time()):
            return
        was = f", was {', '.join(before)}" if before and set(before) != set(addresses) else ""
        logger.info(
            "the name %s is %s%s", host, ", ".join(addresses), was,
            extra=about(EventKind.NAME_FOUND, host=host),
        )  # fmt: skip
        self.on_endpoints(self.book.endpoints())
        self._wake()

    async def own(self) -> tuple[Sequence[str], int]:
        """Return where to listen at first.

        Raises:
            NameNotFound: Our host has no address.
        """
        place = self.book.own()
        assert place is not None, "the file was judged"
        host, port = place
        with named_after(host, port):
            return await self.resolve(host), port

    def on_members(self, cluster: ClusterConfig) -> None:
        """Know these members from now on."""
        self.book.on_members(cluster)
        self._wake()

    def on_link_up(self, node: NodeId) -> None:
        """A node has connected, perhaps from elsewhere."""
        self.book.on_link_up(node)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()

    async def follow(
        self,
        listen_at: Callable[[Sequence[str], int], Awaitable[None]],
        places: Callable[[], Sequence[Place]],
    ) -> None:
        """Look names up as often as they need it, and listen where we are, until cancelled.

        Args:
            listen_at: Opens what listens at some addresses, and closes what does not; or raises
                OSError, when none of them can be had.
            places: Returns where something listens.
        """
        self._places = places
        async with trio.open_nursery() as lookups:
            while True:
                self._changed = trio.Event()
                for host in self.book.due(self._is_up, now=trio.current_time()):
                    if host not in self._lookups:
                        lookups.start_soon(self._try_to_look_up, host)
                is_there = await self._listen_where_we_are(listen_at)
                seconds = FRESH_SECONDS if self.book.has_names else math.inf
                with trio.move_on_after(seconds if is_there else RETRY_SECONDS):
                    await self._changed.wait()

    async def _try_to_look_up(self, host: str) -> None:
        with suppress(NameNotFound):  # it was logged, and is tried again
            await self._look_up(host)

    async def _listen_where_we_are(
        self, listen_at: Callable[[Sequence[str], int], Awaitable[None]]
    ) -> bool:
        """Follow our own entry; return whether we listen there, at one address of it at least."""
        place = self.book.own()
        addresses = () if place is None else self.book.addresses(place[0])
        before = set(self._places())
        if place is None or before == {(address, place[1]) for address in addresses}:
            self._problem = ""
            return True
        if not addresses:
            return False  # a new name, not found yet
        try:
            await listen_at(addresses, place[1])
        except OSError as error:
            self._say_that_it_fails(join_endpoint(*place), error.strerror or str(error))
            return False
        self._problem = ""
        if set(self._places()) != before:
            logger.info(
                "links and heartbeat of this node are at %s now", ", ".join(self._shown()),
                extra=about(EventKind.LISTEN_MOVED),
            )  # fmt: skip
        return True

    def _say_that_it_fails(self, wanted: str, reason: str) -> None:
        """Say once that we can't be where cluster.toml has us."""
        problem = f"can't listen at {wanted}, the address of this node in cluster.toml: {reason}"
        if problem != self._problem:
            logger.warning(
                "can't listen at %s, the address of this node in cluster.toml: %s; this node listens at %s until it can, and"
                " tries again each %g s. If that address is wrong: `ramsterctl node set NAME --address ADDRESS`",
                wanted, reason, ", ".join(self._shown()), RETRY_SECONDS,
                extra=about(EventKind.LISTEN_FAILED),
            )  # fmt: skip
        self._problem = problem

    def _shown(self) -> tuple[str, ...]:
        return tuple(join_endpoint(address, port) for address, port in self._places())

    def statistics(self) -> AddressStatistics:
        """Return a snapshot."""
        return AddressStatistics(
            listens_at=self._shown(),
            problem=self._problem,
            names=self.book.rows(),
            lookups=self._lookups.statistics(),
        )
