"""NBD clients of a simulated owner, through the real handshake and the real transmission, and what they may read.

A client judges each answer by what each page may hold: the last version that was acknowledged, and those that were
sent and not answered.  What a restart leaves of that is the point of it: an owner without its pages may open a disk
again only if every page of it may be blank.
"""

import random
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from config.limits import PAGE_BYTES
from net.errors import RemoteProtocolError
from ramsterd.frontends.nbd.counters import Counters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.negotiation import Negotiation, State
from ramsterd.frontends.nbd.protocol import Command, CommandFlag, Errno, Option
from ramsterd.frontends.nbd.transmission import Transmission
from tests.fakes.nbd_words import request
from tests.simulation.cluster import Node
from tests.simulation.pages import identify, make_page

BLANK: Final = 0
RUN_PAGES_MAX: Final = 64
REPLY: Final = struct.Struct(">IIQ")
ZERO_PAGE: Final = bytes(PAGE_BYTES)


@dataclass(slots=True)
class Asked:
    """A request without an answer: which pages, and the version that a WRITE gives them (None: a read)."""

    command: Command
    indexes: range
    version: int | None


@dataclass(slots=True)
class Disk:
    """What may be read of one export, owned by any node in any incarnation."""

    number: int
    name: str
    pages: int
    possible: list[set[int]] = field(init=False)
    versions: int = 0

    def __post_init__(self) -> None:
        self.make_blank()

    def make_blank(self) -> None:
        """An operator has reset it, and knows what that means."""
        self.possible = [{BLANK} for _ in range(self.pages)]

    @property
    def may_be_blank(self) -> bool:
        return all(BLANK in each for each in self.possible)

    def page(self, index: int, version: int) -> bytes:
        return ZERO_PAGE if version == BLANK else make_page(self.number, index, version)

    def version_of(self, index: int, page: bytes) -> int:
        if page == ZERO_PAGE:
            return BLANK
        found = identify(page)
        assert found is not None, f"{self.name}: garbage at {index}"
        assert found[:2] == (self.number, index), f"{self.name}: page {found} at {index}"
        return found[2]


class DiskClient:
    """One connection; it alone writes the pages of its range."""

    def __init__(
        self,
        disk: Disk,
        own: range,
        node: Node,
        export: Export,
        counters: Counters,
        seen: Counter[str],
    ) -> None:
        self.is_open = False
        self._disk = disk
        self._own = own
        self._node = node
        self._seen = seen
        self._asked: dict[int, Asked] = {}
        self._cookie = 0
        self._received = b""
        negotiation = Negotiation([export])
        try:
            say = struct.pack(">I", 3) + self._option(export.name)
            for _ in negotiation.receive_data(say):
                pass
        except RemoteProtocolError:
            pass
        if negotiation.state is State.TRANSMISSION:
            self.is_open = True
            self._transmission = Transmission(
                negotiation.session, node.pager.open_client(), counters, lambda: None
            )

    def _option(self, name: str) -> bytes:
        encoded = name.encode()
        data = struct.pack(">I", len(encoded)) + encoded + b"\0\0"
        return b"IHAVEOPT" + struct.pack(">II", Option.GO, len(data)) + data

    @property
    def is_waiting(self) -> bool:
        return bool(self._asked)

    @property
    def in_flight_count(self) -> int:
        return self._transmission.in_flight_count

    def close(self) -> None:
        """Vanish; what has no answer may or may not have been done."""
        if self.is_open:
            self._transmission.close()
            self.is_open = False

    def act(self, rng: random.Random) -> None:
        """Send one request on pages of ours that no other request concerns."""
        start = rng.choice(self._own)
        count = min(rng.randint(1, RUN_PAGES_MAX), self._own.stop - start)
        indexes = range(start, start + count)
        busy = {index for asked in self._asked.values() for index in asked.indexes}
        if busy.intersection(indexes):
            return
        command = rng.choices(
            [Command.WRITE, Command.READ, Command.TRIM, Command.WRITE_ZEROES], [5, 5, 1, 1]
        )[0]
        self._send(command, indexes, rng)

    def read_all(self) -> None:
        for start in range(self._own.start, self._own.stop, RUN_PAGES_MAX):
            self._send(Command.READ, range(start, min(start + RUN_PAGES_MAX, self._own.stop)))

    def trim_all(self) -> None:
        if not self._asked:
            self._send(Command.TRIM, self._own)

    def _send(self, command: Command, indexes: range, rng: random.Random | None = None) -> None:
        version: int | None = None
        payload, flags = b"", 0
        if command == Command.WRITE:
            self._disk.versions += 1
            version = self._disk.versions
            payload = b"".join(self._disk.page(index, version) for index in indexes)
        elif command != Command.READ:
            version = BLANK
            if command == Command.WRITE_ZEROES and rng is not None and rng.random() < 0.5:
                flags = CommandFlag.NO_HOLE
        if version is not None:
            for index in indexes:
                self._disk.possible[index].add(version)
        self._cookie += 1
        self._asked[self._cookie] = Asked(command, indexes, version)
        offset, length = indexes.start * PAGE_BYTES, len(indexes) * PAGE_BYTES
        said = request(command, self._cookie, offset, length, flags=flags, payload=payload)
        self._received += said
        self.serve()

    def serve(self) -> None:
        """Do what the connection does: receive and serve as far as limits allow, and take the replies."""
        if not self.is_open:
            return
        transmission = self._transmission
        while not transmission.is_full:
            if transmission.has_unserved:
                transmission.serve()
            elif self._received:
                some = self._received[: len(transmission.received.space())]
                self._received = self._received[len(some) :]
                transmission.received.feed(some)
                transmission.serve()
            else:
                break
        self._node.peers.settle()
        self._take()

    def _take(self) -> None:
        replies = self._transmission.replies
        data = b"".join(replies.pieces)
        replies.on_sent(len(data))
        while data:
            _, errno, cookie = REPLY.unpack_from(data)
            data = data[REPLY.size :]
            asked = self._asked.pop(cookie)
            if errno:
                self._on_error(asked, Errno(errno))
            elif asked.version is not None:
                self._seen["changed"] += 1
                for index in asked.indexes:
                    self._disk.possible[index] = {asked.version}
            else:
                length = len(asked.indexes) * PAGE_BYTES
                self._on_read(asked.indexes, data[:length])
                data = data[length:]

    def _on_error(self, asked: Asked, errno: Errno) -> None:
        self._seen[f"{asked.command.name} {errno.name}"] += 1
        # What was refused may have been stored in part; where it was not, what was there before stays.
        assert asked.command in {Command.READ, Command.WRITE}

    def _on_read(self, indexes: range, data: bytes) -> None:
        for place, index in enumerate(indexes):
            page = data[place * PAGE_BYTES : (place + 1) * PAGE_BYTES]
            version = self._disk.version_of(index, page)
            possible = self._disk.possible[index]
            assert version in possible, (
                f"{self._disk.name}: page {index} reads as {version or 'zeros'}, expected one of {possible}"
            )
            self._seen["blank" if version == BLANK else "read"] += 1
