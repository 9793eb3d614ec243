"""Several clients on the same pages, through the real transmission and the real session; any may vanish at any time.

Each request is begun in the models of its pages (`page_model`) as it is sent, and ends there as its answer comes, or as
its client vanishes.
"""

import enum
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

from config.limits import PAGE_BYTES
from ramsterd.client.protocol import ClientProtocol, Request, pieces_of
from ramsterd.client.requests import (
    flush_request,
    get_requests,
    hello_request,
    new_pool_request,
    opened_pool,
    put_requests,
)
from ramsterd.frontends.nbd.counters import Counters as NbdCounters
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import Command, CommandFlag, Errno
from ramsterd.frontends.nbd.session import Session as NbdSession
from ramsterd.frontends.nbd.transmission import Transmission
from ramsterd.frontends.tmem.counters import Counters as TmemCounters
from ramsterd.frontends.tmem.messages import PageState, PoolKind
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.session import Session
from tests.fakes.nbd_words import request
from tests.fakes.tmem_pair import feed, serve, take_replies
from tests.simulation.cluster import Node
from tests.simulation.disks import REPLY
from tests.simulation.page_model import HOLE, LOST, SECTORS, ZEROS, PageModel, Value

SECTOR_BYTES: Final = PAGE_BYTES // SECTORS
RUN_PAGES_MAX: Final = 12
# 0: all words equal, which takes no room.
ZPAGE_BYTES: Final = (0, 300, 900, 900, 2000, PAGE_BYTES)
OBJECT: Final = b"shared"
USER: Final = 7
OPEN_MAX: Final = 4


@lru_cache(maxsize=4096)
def page_of(number: int) -> bytes:
    """Return what write `number` puts into each page, 0: zeros."""
    if not number:
        return bytes(PAGE_BYTES)
    rng = random.Random(number)
    count = rng.choice(ZPAGE_BYTES)
    tag = number.to_bytes(8, "big")
    if not count:
        return tag * (PAGE_BYTES // 8)
    # Each sector says which write it comes from.
    noise = rng.randbytes(count // SECTORS - 8)
    return (tag + noise).ljust(SECTOR_BYTES, b"\0") * SECTORS if count < PAGE_BYTES else b"".join(
        tag + rng.randbytes(SECTOR_BYTES - 8) for _ in range(SECTORS)
    )  # fmt: skip


def bytes_of(value: Value) -> bytes | None:
    """Return how a value reads; a hole is zeros on a disk, and a miss (None) in a pool."""
    if value in {HOLE, LOST}:
        return None
    return b"".join(
        page_of(number)[place * SECTOR_BYTES : (place + 1) * SECTOR_BYTES]
        for place, number in enumerate(value)
    )


def change_sectors(number: int, first: int, end: int) -> Callable[[Value], Value]:
    """Return what a patch by write `number` does to a page."""

    def change(value: Value) -> Value:
        before = ZEROS if value == HOLE else value
        return (*before[:first], *(number,) * (end - first), *before[end:])

    return change


@dataclass(slots=True)
class Shared:
    """The pages of one export or pool."""

    name: str
    hides_refused: bool = False
    may_vanish: bool = False
    pages: list[PageModel] = field(default_factory=list)
    # Some holder may be out of reach: reads and patches may fail.
    is_shaky: bool = False

    @classmethod
    def disk(cls, name: str, count: int) -> "Shared":
        return cls(name, pages=[PageModel(ZEROS) for _ in range(count)])

    @classmethod
    def pool(cls, name: str, count: int, *, may_vanish: bool) -> "Shared":
        shared = cls(name, True, may_vanish, [PageModel(HOLE) for _ in range(count)])
        for page in shared.pages:
            page.may_vanish = may_vanish
        return shared


class Answer(enum.IntEnum):
    """In which order the answers of one pass are judged, which clients see in any: a patch may be tried
    when the write before it was refused, and a get may see what was stored."""

    REFUSED = 0
    STORED = 1
    READ = 2


class Together:
    """What all clients share: numbers of operations, and the moment at which answers are looked at."""

    def __init__(self) -> None:
        self.last_number = 0
        self.clients: list[Client] = []
        self.answers: list[tuple[Answer, Callable[[], None]]] = []
        # Whether the answer that is looked at is the only one of this pass.
        self.is_one = False

    def next_number(self) -> int:
        self.last_number += 1
        return self.last_number

    def take_answers(self) -> None:
        for client in self.clients:
            client.take_answers()
        answers, self.answers = self.answers, []
        self.is_one = len(answers) == 1
        for _, judge in sorted(answers, key=lambda answer: answer[0]):
            judge()
        for client in self.clients:
            for asked in client.asked.values():
                asked.is_late = True


@dataclass(slots=True)
class Asked:
    """A request without an answer."""

    number: int
    indexes: range
    is_read: bool
    is_take: bool = False
    # Of a read that was not answered at once.
    is_late: bool = False


class Client:
    """What both sorts of clients have in common."""

    def __init__(self, shared: Shared, node: Node, together: Together, seen: Counter[str]) -> None:
        self.shared = shared
        self._node = node
        self._together = together
        self._seen = seen
        self.asked: dict[int, Asked] = {}

    def _on_answer(self, kind: Answer, judge: Callable[[], None]) -> None:
        self._together.answers.append((kind, judge))

    def _models(self, asked: Asked) -> Iterator[PageModel]:
        return (self.shared.pages[index] for index in asked.indexes)

    def _begin_read(self, indexes: range, *, is_take: bool = False) -> Asked:
        asked = Asked(self._together.next_number(), indexes, is_read=True, is_take=is_take)
        for model in self._models(asked):
            model.begin_read(asked.number)
            if is_take:
                model.begin_take(asked.number)
        return asked

    def _begin_write(self, indexes: range) -> Asked:
        return Asked(self._together.next_number(), indexes, is_read=False)

    def _on_page(self, asked: Asked, index: int, page: bytes | None) -> None:
        """A read found this in a page."""
        model = self.shared.pages[index]
        seen = model.end_read(asked.number)
        fitting = {value for value in seen if self._reads_as(value, page)}
        assert fitting, (
            f"{self.shared.name}:{index} reads as {(page or b'nothing')[:8]!r}, none of {seen}"
        )
        if self._together.is_one and not asked.is_late:
            model.on_read(fitting)
        if asked.is_take:
            model.end_take(asked.number, is_taken=page is not None)
        self._seen["pages read"] += 1

    def _reads_as(self, value: Value, page: bytes | None) -> bool:
        raise NotImplementedError

    def _on_no_page(self, asked: Asked, index: int, *, is_lost: bool) -> None:
        model = self.shared.pages[index]
        seen = model.end_read(asked.number)
        if asked.is_take:
            model.end_take(asked.number, is_taken=False)
        assert self.shared.is_shaky or (is_lost and LOST in seen), (
            f"{self.shared.name}:{index}: no reason to fail"
        )

    def _on_stored(self, asked: Asked) -> None:
        self._seen["stored"] += 1
        for model in self._models(asked):
            model.on_stored(asked.number)

    def _on_refused(self, asked: Asked) -> None:
        self._seen["refused"] += 1
        for model in self._models(asked):
            model.on_refused(asked.number, is_hidden=self.shared.hides_refused)

    def _forget(self) -> None:
        """It is gone: what was not answered is done by now, or never."""
        self._seen["vanished"] += 1
        self._seen["vanished open"] += len(self.asked)
        for asked in self.asked.values():
            for model in self._models(asked):
                if not asked.is_read:
                    model.on_vanished(asked.number)
                    continue
                model.end_read(asked.number)
                if asked.is_take:
                    model.end_take(asked.number, is_taken=False)
        self.asked.clear()

    def _run(self, rng: random.Random) -> range:
        start = rng.randrange(len(self.shared.pages))
        return range(start, min(start + rng.randint(1, RUN_PAGES_MAX), len(self.shared.pages)))

    def act(self, rng: random.Random) -> None:
        raise NotImplementedError

    def take_answers(self) -> None:
        raise NotImplementedError

    def vanish(self) -> None:
        raise NotImplementedError

    def read_all(self) -> None:
        raise NotImplementedError


class DiskUser(Client):
    """An NBD connection."""

    def __init__(
        self, shared: Shared, export: Export, node: Node, together: Together, seen: Counter[str]
    ) -> None:
        super().__init__(shared, node, together, seen)
        self._transmission = Transmission(
            NbdSession(export=export), node.pager.open_client(), NbdCounters(), lambda: None
        )

    def _reads_as(self, value: Value, page: bytes | None) -> bool:
        return bytes_of(ZEROS if value == HOLE else value) == page

    def act(self, rng: random.Random) -> None:
        if len(self.asked) >= OPEN_MAX or self._transmission.is_full:
            return
        run = self._run(rng)
        match rng.choices(("read", "write", "part", "trim", "zeroes"), (4, 5, 3, 1, 1))[0]:
            case "read":
                self._read(run)
            case "write":
                self._write(run.start * SECTORS, len(run) * SECTORS)
            case "part":
                start = run.start * SECTORS + rng.randrange(SECTORS)
                length = rng.randint(1, min(3 * SECTORS, run.stop * SECTORS - start))
                self._write(start, length, is_zeroes=rng.random() < 0.2)
            case "trim":
                self._drop(run, Command.TRIM)
            case "zeroes":
                self._drop(run, Command.WRITE_ZEROES, rng.choice((0, CommandFlag.NO_HOLE)))

    def _read(self, run: range) -> None:
        asked = self._begin_read(run)
        self._ask(asked, Command.READ)

    def _write(self, start: int, length: int, *, is_zeroes: bool = False) -> None:
        """Write some sectors: whole pages, and parts of the first and the last."""
        end = start + length
        asked = self._begin_write(range(start // SECTORS, -(-end // SECTORS)))
        content = 0 if is_zeroes else asked.number
        payload = b""
        for index in asked.indexes:
            first, last = max(start - index * SECTORS, 0), min(end - index * SECTORS, SECTORS)
            payload += page_of(content)[first * SECTOR_BYTES : last * SECTOR_BYTES]
            is_patch = last - first < SECTORS
            change = change_sectors(content, first, last)
            self.shared.pages[index].begin(asked.number, change, is_patch=is_patch)
        command = Command.WRITE_ZEROES if is_zeroes else Command.WRITE
        self.asked[asked.number] = asked
        self._send(
            request(
                command,
                asked.number,
                start * SECTOR_BYTES,
                length * SECTOR_BYTES,
                payload=b"" if is_zeroes else payload,
            )
        )

    def _drop(self, run: range, command: Command, flags: int = 0) -> None:
        asked = self._begin_write(run)
        for model in self._models(asked):
            model.begin(asked.number, lambda _: ZEROS)
        self._ask(asked, command, flags)

    def _ask(self, asked: Asked, command: Command, flags: int = 0) -> None:
        self.asked[asked.number] = asked
        offset, length = asked.indexes.start * PAGE_BYTES, len(asked.indexes) * PAGE_BYTES
        self._send(request(command, asked.number, offset, length, flags=flags))

    def _send(self, said: bytes) -> None:
        self._transmission.received.feed(said)
        self._transmission.serve()
        while self._transmission.has_unserved and not self._transmission.is_full:
            self._transmission.serve()
        self._node.pager.settle()
        self._together.take_answers()

    def take_answers(self) -> None:
        replies = self._transmission.replies
        data = b"".join(replies.pieces)
        replies.on_sent(len(data))
        while data:
            _, errno, cookie = REPLY.unpack_from(data)
            data = data[REPLY.size :]
            asked = self.asked.pop(cookie)
            if asked.is_read:
                assert errno in {0, Errno.EIO}
                count = 0 if errno else len(asked.indexes) * PAGE_BYTES
                self._on_answer(Answer.READ, partial(self._on_pages, asked, data[:count]))
                data = data[count:]
            elif errno:
                assert errno == Errno.ENOSPC or self.shared.is_shaky
                self._on_answer(Answer.REFUSED, partial(self._on_refused, asked))
            else:
                self._on_answer(Answer.STORED, partial(self._on_stored, asked))

    def _on_pages(self, asked: Asked, data: bytes) -> None:
        for place, index in enumerate(asked.indexes):
            if data:
                self._on_page(asked, index, data[place * PAGE_BYTES : (place + 1) * PAGE_BYTES])
            else:
                self._on_no_page(asked, index, is_lost=True)

    def vanish(self) -> None:
        self._transmission.close()
        self._node.pager.settle()
        self._forget()

    def read_all(self) -> None:
        for start in range(0, len(self.shared.pages), RUN_PAGES_MAX):
            self._read(range(start, min(start + RUN_PAGES_MAX, len(self.shared.pages))))


class PoolUser(Client):
    """A connection to the tmem socket, with one pool open."""

    def __init__(
        self, shared: Shared, book: PoolBook, node: Node, together: Together, seen: Counter[str]
    ) -> None:
        super().__init__(shared, node, together, seen)
        self._session = Session(node.pager.open_client(), book, USER, TmemCounters(), lambda: None)
        self._client = ClientProtocol()
        self._requests: dict[int, tuple[Request, bytearray]] = {}
        self._run_now(hello_request("crowd"))
        kind = PoolKind.EPHEMERAL if shared.may_vanish else PoolKind.PERSISTENT
        opening = new_pool_request(kind, shared.name, is_exclusive=shared.may_vanish)
        self._pool = opened_pool(self._run_now(opening))[0]

    def _run_now(self, wanted: Request) -> Request:
        feed(self._session, b"".join(pieces_of(wanted, self._client.begin(wanted))))
        self._receive()
        assert wanted.is_done
        return wanted

    def _receive(self) -> None:
        data = take_replies(self._session)
        while data:
            space = self._client.space()
            count = min(len(space), len(data))
            space[:count] = data[:count]
            data = data[count:]
            self._client.on_received(count)

    def _reads_as(self, value: Value, page: bytes | None) -> bool:
        return value != LOST and bytes_of(value) == page

    def act(self, rng: random.Random) -> None:
        if len(self.asked) >= OPEN_MAX or self._session.is_full:
            return
        run = self._run(rng)
        match rng.choices(("get", "put", "flush"), (4, 5, 1))[0]:
            case "get":
                self._get(run)
            case "put":
                self._put(run)
            case "flush":
                asked = self._begin_write(run)
                for model in self._models(asked):
                    model.begin(asked.number, lambda _: HOLE)
                self._ask(asked, flush_request(self._pool, OBJECT, run.start, len(run)))

    def _get(self, run: range) -> None:
        asked = self._begin_read(run, is_take=self.shared.may_vanish)
        buffer = bytearray(len(run) * PAGE_BYTES)
        (wanted,) = get_requests(self._pool, OBJECT, run.start, buffer)
        self._ask(asked, wanted, buffer)

    def _put(self, run: range) -> None:
        asked = self._begin_write(run)
        value = (asked.number,) * SECTORS
        for model in self._models(asked):
            model.begin(asked.number, lambda _: value)
        (wanted,) = put_requests(self._pool, OBJECT, run.start, page_of(asked.number) * len(run))
        self._ask(asked, wanted)

    def _ask(self, asked: Asked, wanted: Request, buffer: bytearray | None = None) -> None:
        self.asked[asked.number] = asked
        self._requests[asked.number] = wanted, buffer or bytearray()
        feed(self._session, b"".join(pieces_of(wanted, self._client.begin(wanted))))
        self._node.pager.settle()
        self._together.take_answers()

    def take_answers(self) -> None:
        if self._session.has_unserved and not self._session.is_full:
            serve(self._session)
        self._receive()
        for number in [each for each in self.asked if self._requests[each][0].is_done]:
            wanted, buffer = self._requests.pop(number)
            asked = self.asked.pop(number)
            if asked.is_read:
                self._on_answer(Answer.READ, partial(self._on_pages, asked, wanted, buffer))
            elif wanted.error is None and wanted.stored == wanted.count:
                self._on_answer(Answer.STORED, partial(self._on_stored, asked))
            else:
                self._on_answer(Answer.REFUSED, partial(self._on_refused, asked))

    def _on_pages(self, asked: Asked, wanted: Request, buffer: bytearray) -> None:
        assert wanted.error is None
        for place, (index, state) in enumerate(zip(asked.indexes, wanted.reply, strict=True)):
            if state in {PageState.PAGE, PageState.MISS}:
                page = bytes(buffer[place * PAGE_BYTES : (place + 1) * PAGE_BYTES])
                self._on_page(asked, index, page if state == PageState.PAGE else None)
            else:
                self._on_no_page(asked, index, is_lost=state == PageState.LOST)

    def vanish(self) -> None:
        self._session.close()
        self._node.pager.settle()
        self._forget()
        self._requests.clear()

    def read_all(self) -> None:
        for start in range(0, len(self.shared.pages), RUN_PAGES_MAX):
            self._get(range(start, min(start + RUN_PAGES_MAX, len(self.shared.pages))))
