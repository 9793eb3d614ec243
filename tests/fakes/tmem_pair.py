"""A client protocol and a session joined without sockets: bytes go across when a test says so."""

from collections.abc import Iterable
from typing import Final

from ramsterd.client.protocol import ClientProtocol, Request, pieces_of
from ramsterd.client.requests import hello_request, new_pool_request, opened_pool
from ramsterd.frontends.tmem.counters import Counters
from ramsterd.frontends.tmem.messages import PoolKind
from ramsterd.frontends.tmem.pool_records import Quotas
from ramsterd.frontends.tmem.pools import PoolBook
from ramsterd.frontends.tmem.session import Session
from tests.fakes.fake_pool_pager import FakePoolPager
from tests.fakes.poisoned_pool import POISONED

QUOTAS: Final = Quotas(
    pool_pages_max=1000, user_pages_max=1500, user_objects_max=100, pools_per_user_max=4
)
USER: Final = 1000


def feed(session: Session, data: bytes, chunk_bytes: int = 1 << 20) -> None:
    """Let a session receive and serve bytes, until it has served or is full."""
    while data:
        space = session.received.space()
        count = min(len(space), len(data), chunk_bytes)
        space[:count] = data[:count]
        session.received.on_received(count)
        data = data[count:]
        serve(session)
        if not session.has_unserved:
            session.received.on_idle()


def serve(session: Session) -> int:
    """Serve until nothing is left, or the session is full; return how many passes that took."""
    passes = 1
    session.serve()
    while session.has_unserved and not session.is_full:
        session.serve()
        passes += 1
    return passes


def take_replies(session: Session) -> bytes:
    """Take all that a session would send."""
    data = b"".join(session.replies.pieces)
    assert len(data) == session.replies.queued_bytes
    session.replies.on_sent(len(data))
    return data


class Pair:
    """One client and its session over a fake pager."""

    def __init__(
        self,
        *,
        pager: FakePoolPager | None = None,
        book: PoolBook | None = None,
        quotas: Quotas = QUOTAS,
        user: int = USER,
    ) -> None:
        self.pager = pager or FakePoolPager()
        self.book = book or PoolBook(self.pager, quotas)
        self.counters = Counters()
        self.late_replies = 0
        self.session = Session(
            self.pager.open_client(),
            self.book,
            user,
            self.counters,
            self._on_late,
            pool=POISONED,
        )
        self.client = ClientProtocol()
        self.run(hello_request("test"))

    def _on_late(self) -> None:
        self.late_replies += 1

    def send(self, *requests: Request) -> None:
        """Let the session receive and serve requests."""
        for request in requests:
            feed(self.session, b"".join(pieces_of(request, self.client.begin(request))))

    def receive(self, chunk_bytes: int = 1 << 20) -> list[Request]:
        """Let the client receive what the session answered; return what ended."""
        data = take_replies(self.session)
        done: list[Request] = []
        while data:
            space = self.client.space()
            count = min(len(space), len(data), chunk_bytes)
            space[:count] = data[:count]
            data = data[count:]
            done += self.client.on_received(count)
        return done

    def run(self, *requests: Request, is_swept: bool = False) -> list[Request]:
        """Send requests and receive their replies, which must all come, perhaps once destroyed pools are swept."""
        self.send(*requests)
        if is_swept:
            self.sweep()
        self.receive()
        assert all(request.is_done for request in requests)
        return list(requests)

    def run_all(self, requests: Iterable[Request]) -> list[Request]:
        return self.run(*requests)

    def new_pool(
        self,
        kind: PoolKind = PoolKind.PERSISTENT,
        name: str = "",
        *,
        is_exclusive: bool = False,
    ) -> int:
        (request,) = self.run(new_pool_request(kind, name, is_exclusive=is_exclusive))
        return opened_pool(request)[0]

    def sweep(self) -> None:
        """Drop all that destroyed pools have."""
        while self.book.is_sweeping:
            self.book.sweep(1)
