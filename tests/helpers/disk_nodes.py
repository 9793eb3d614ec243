"""One connection to a disk of a whole node, whose inner loops are those of Python, or compiled."""

import random
from typing import Final

from net.errors import RemoteProtocolError
from net.tcp import TcpTransport
from ramsterd.core.page import PAGE_BYTES
from ramsterd.core.table import HOLE, LOST
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.frontends.pager import Pager
from ramsterd.pagepath.peers import Peers
from tests.helpers.clusters import cluster_of
from tests.helpers.disk import OBJECT, flip_a_bit
from tests.helpers.made_engine import MadeEngine

DISK_PAGES: Final = 200


class StillPager(Pager):
    """A pager for which time stands still."""

    @staticmethod
    def now() -> float:
        return 1.0


class DiskNode:
    """Serves what it receives, and keeps what it answers."""

    def __init__(
        self, *, is_compiled: bool, is_structured: bool = True, is_read_only: bool = False
    ) -> None:
        self.made = made = MadeEngine(peers=1)
        self.store = made.engine.store
        if not is_compiled:
            self.store.twin = None
        assert is_compiled == (self.store.twin is not None)
        peers = Peers(made.engine, cluster_of(2), transport=TcpTransport(), rng=random.Random(1))
        self.pager = StillPager(made.engine, peers, put_wait_seconds_max=1)
        self.counters = Counters()
        self.transmission = Transmission(
            Session(
                export=Export(
                    name="disk",
                    size=DISK_PAGES * PAGE_BYTES,
                    pool=made.disk,
                    object_id=OBJECT,
                    is_read_only=is_read_only,
                ),
                is_structured=is_structured,
                has_allocation=is_structured,
            ),
            self.pager.open_client(),
            self.counters,
            lambda: None,
        )
        self.answered = bytearray()
        self.error = ""

    def say(self, data: bytes) -> None:
        """Receive bytes, as far as there is room for them, and serve them."""
        transmission = self.transmission
        while data and not (transmission.is_disconnecting or transmission.is_full or self.error):
            count = min(len(data), len(transmission.received.space()))
            transmission.received.feed(data[:count])
            data = data[count:]
            before = self.fingerprint()
            try:
                transmission.serve()
                assert self.fingerprint() == before or not transmission.has_only_read
                while transmission.has_unserved and not transmission.is_full:
                    self.take()
                    transmission.serve()
            except RemoteProtocolError as error:
                self.error = str(error)
            self.take()

    def fingerprint(self) -> tuple[object, ...]:
        """Return what the page path would find out of at the end of a pass."""
        versions, engine = self.store.versions, self.made.engine
        return (
            versions.serial_last,
            list(versions.zpages),
            self.store.zbud.room_made,
            self.store.zbud.used_bytes,
            versions.has_owed(),
            versions.has_thinned(),
            engine.last_deadline(),
            self.transmission.in_flight_count,
            self.pager.next_deadline(),
        )

    def take(self) -> None:
        """Take what is answered."""
        replies = self.transmission.replies
        data = b"".join(replies.pieces)
        assert len(data) == replies.queued_bytes
        replies.on_sent(len(data))
        self.answered += data

    def damage(self, index: int) -> None:
        """Flip a bit of a zpage, if a page has one."""
        page_object = self.store.pools[self.made.disk].find_object(OBJECT)
        address = self.store.table.find(page_object, index, 1)[0] if page_object else 0
        row = self.store.table.entries[address] if address else HOLE
        if row > LOST and self.store.rows.location(row):
            flip_a_bit(self.store, self.made.disk, index)

    def seen(self) -> dict[str, object]:
        """Return all that one kind of loops must have as the other has it."""
        statistics = (
            self.counters.requests,
            self.counters.latency.reads,
            self.counters.latency.writes,
        )
        return {
            "answers": bytes(self.answered),
            "error": self.error,
            "requests": statistics,
            "in flight": self.transmission.in_flight_count,
            "unserved": self.transmission.received.unserved(),
            "store": self.store.statistics(),
        }
