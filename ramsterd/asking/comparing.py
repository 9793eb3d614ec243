"""Comparing: asks peers for their reports, one after the other.  The links and clocks around `Comparer`."""

import json
from collections.abc import Callable
from typing import Final

from net.link import Link
from nodemanager.ids import NodeId
from ramsterd.asking.comparer import APART_SECONDS, Comparer, PeerReport, skew_of
from ramsterd.asking.exchange import Exchange, NoAnswer
from ramsterd.asking.messages import ANSWERS_COMMANDS
from ramsterd.asking.self_report import BadReport, parse_answer, request_of
from ramsterd.host.certificate import wall_clock
from ramsterd.host.loop_clock import sleep_to_turn, sleep_with_slack, world_time

# How often it is looked whether a link is new.
LOOK_SECONDS: Final = 2.0


class Comparing:
    """See the module's text."""

    def __init__(
        self,
        exchange: Exchange,
        node: str,
        *,
        monotonic: Callable[[], float] = world_time,
        wall_clock: Callable[[], float] = wall_clock,
    ) -> None:
        """Wire it.

        Args:
            exchange: Asks over the links.
            node: The name of this node.
            monotonic: Seconds that go on while this process is stopped: an answer that waited here
                meanwhile is late.
            wall_clock: Seconds since 1970.
        """
        self._exchange = exchange
        self._line = json.dumps(request_of(node)).encode()
        self._monotonic, self._wall_clock = monotonic, wall_clock
        self._comparer = Comparer()

    def reports(self) -> dict[NodeId, PeerReport]:
        """Return what peers said of themselves."""
        return self._comparer.reports(self._monotonic())

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            now = self._monotonic()
            processes = {
                node: (link.incarnation, link.attach_count)
                for node, link in self._exchange.links.items()
            }
            self._comparer.on_links(processes, now)
            node = self._comparer.next_node(processes, now)
            if node is None:
                await sleep_to_turn(LOOK_SECONDS)
                continue
            await self._compare(node, self._exchange.links[node])
            await sleep_with_slack(APART_SECONDS)

    async def _compare(self, node: NodeId, link: Link) -> None:
        asked_at = self._monotonic()
        if not link.features & ANSWERS_COMMANDS:
            self._comparer.on_report(node, PeerReport(version=""), asked_at)
            return
        try:
            report = parse_answer(await self._exchange.ask(node, self._line, is_own=True))
        except (NoAnswer, BadReport):
            self._comparer.on_no_report(node, self._monotonic())
            return
        answered_at = self._monotonic()
        skew, uncertainty = skew_of(
            report, asked_at=asked_at, answered_at=answered_at, clock_seconds=self._wall_clock()
        )
        self._comparer.on_report(
            node,
            PeerReport(
                version=report.version,
                build=report.build,
                clock_skew_seconds=skew,
                clock_uncertainty_seconds=uncertainty,
            ),
            answered_at,
        )
