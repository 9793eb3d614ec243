"""Keeps this node newer than every incarnation of it that peers know: `floors` judges, this module acts.

What is adopted is on disk before any peer hears of it, so that no later start can be earlier.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import trio

from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import show_start
from ramsterd.membership.incarnation_floors import FloorOutcome, Floors, FloorStatistics
from ramsterd.membership.page_path import PagePath

logger = logging.getLogger("ramster.peers")


class IncarnationKeeper(Protocol):
    """Where a node notes its incarnations, for its next start."""

    async def note_incarnation(self, incarnation: int) -> None:
        """Note one; return when it is on disk.

        Raises:
            OSError: It can't be written.
        """
        ...


class NothingKept:
    """For a node that keeps nothing on disk, as in tests: its starts are as late as its clock says."""

    async def note_incarnation(self, incarnation: int) -> None:
        """Forget it."""


class OwnIncarnation:
    """The incarnation of this node, as far as it may change while the daemon runs."""

    def __init__(
        self,
        engine: PagePath,
        *,
        keeper: IncarnationKeeper,
        clock_milliseconds: Callable[[], int],
        begin: Callable[[Incarnation], None],
    ) -> None:
        """Wire it.

        Args:
            engine: Knows what would be lost.
            keeper: Where incarnations are noted.
            clock_milliseconds: The wall clock, since 1970.
            begin: Makes everything else in this node go on as another incarnation, in one step.
        """
        self._engine = engine
        self._keeper = keeper
        self._clock_milliseconds = clock_milliseconds
        self._begin = begin
        self._floors = Floors()
        # Peers that took this incarnation for ours.
        self._accepted_by: set[NodeId] = set()
        # What peers said that was not judged yet.
        self._heard: dict[NodeId, Incarnation] = {}
        self._came = trio.Event()

    def on_frames(self, node: NodeId) -> None:
        """A peer speaks on a link with this incarnation: it has accepted it.

        That the link is open says less: the accepting side opens it before the dialling one has
        judged.
        """
        self._accepted_by.add(node)

    def on_outdated(self, node: NodeId, newest: Incarnation) -> None:
        """A peer refuses us because it knows a newer incarnation of this node."""
        self._heard[node] = newest
        self._came.set()

    async def run(self) -> None:
        """Act on what peers say, until cancelled.  The incarnation of the start itself was noted before."""
        while True:
            await self._came.wait()
            self._came = trio.Event()
            while self._heard:
                node = next(iter(self._heard))
                await self._judge(node, self._heard.pop(node))

    async def _judge(self, node: NodeId, newest: Incarnation) -> None:
        outcome = self._floors.on_outdated(
            node,
            newest,
            ours=self._engine.incarnation,
            is_free=self._is_free(node),
            clock_milliseconds=self._clock_milliseconds(),
            now=trio.current_time(),
        )
        match outcome:
            case FloorOutcome.ADOPTED:
                await self._go_above(node, newest)
            case FloorOutcome.NOTED:
                await self._note(newest)
                self._say_restart(node)
            case FloorOutcome.DISBELIEVED:
                logger.warning(
                    "node %s refuses this node: it knows a start of this node at %s, more than 100 years ahead of the clock here;"
                    " set the clock, or remove this node from the cluster and add it again",
                    self._engine.nodes.name(node), show_start(newest),
                )  # fmt: skip
            case FloorOutcome.IGNORED:
                pass

    async def _go_above(self, node: NodeId, newest: Incarnation) -> None:
        above = Incarnation(newest + 1)
        # Without a note a later start could be earlier than what peers know by then.
        if not await self._note(above) or not self._is_free(node):
            self._say_restart(node)
            return
        logger.warning(
            "node %s knows a later start of this node: this node continues with a new incarnation, and no page is lost",
            self._engine.nodes.name(node),
        )  # fmt: skip
        self._accepted_by.clear()
        self._begin(above)

    async def _note(self, incarnation: Incarnation) -> bool:
        try:
            await self._keeper.note_incarnation(incarnation)
        except OSError as error:
            logger.warning(
                "can't write the incarnation of this node to the state file: %s",
                error.strerror or error,
            )
            return False
        return True

    def _say_restart(self, node: NodeId) -> None:
        logger.warning(
            "node %s refuses this node until ramsterd is restarted: it knows a later start of this node. The clock was"
            " behind when this ramsterd started, or another machine uses the files of this node."
            " A restart ends the pages of this node: turn swap off or discard these pages first",
            self._engine.nodes.name(node),
        )  # fmt: skip

    def _is_free(self, node: NodeId) -> bool:
        """Whether another incarnation of ours costs nothing, and this peer has never accepted the present one."""
        return node not in self._accepted_by and self._engine.may_begin_incarnation()

    def statistics(self) -> FloorStatistics:
        """Return a snapshot."""
        return self._floors.statistics(ours=self._engine.incarnation)
