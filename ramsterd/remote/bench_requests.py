"""Requests of a benchmark: pages that are put to a peer and asked for again, to see how long that takes.  Pure.

No row names these pages, so no other machine knows of them.  What is sent when is for
`ramsterd.pagepath.bench_link` to say; here an answer finds who asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from net.frame import Frame
from ramsterd.remote.wire import MessageType, parse_get_reply, parse_put_reply

# Under way to one peer; each has a part of the depth.
BENCH_IN_FLIGHT_MAX: Final = 4

# Told the outcome of each page of a PUT (`PutResult`), or the packed number of each page of a GET
# (0: missing) and all zpages; None: there is no answer.
OnPut: TypeAlias = Callable[[bytes | None], None]
OnGet: TypeAlias = Callable[[tuple[Sequence[int], memoryview] | None], None]


@dataclass(frozen=True, slots=True)
class BenchPut:
    """Pages that a peer is to keep."""

    pages_count: int
    on_done: OnPut


@dataclass(frozen=True, slots=True)
class BenchGet:
    """Pages that a peer is to send."""

    pages_count: int
    on_done: OnGet


class BenchRequests:
    """Those under way, by request id."""

    def __init__(self) -> None:
        self._under_way: dict[int, BenchPut | BenchGet] = {}

    def begin(self, request_id: int, request: BenchPut | BenchGet) -> None:
        """It is on its way."""
        self._under_way[request_id] = request

    def is_in_flight(self, request_id: int) -> bool:
        """Whether a request is one of these."""
        return request_id in self._under_way

    def expected(self, request_id: int) -> MessageType:
        """Return the type of the answer."""
        is_put = isinstance(self._under_way[request_id], BenchPut)
        return MessageType.PUT_PAGES if is_put else MessageType.GET_PAGES

    def on_reply(self, request_id: int, frame: Frame) -> None:
        """The peer answered.

        Raises:
            RemoteProtocolError: The answer does not fit the request, which is still under way.
        """
        request = self._under_way[request_id]
        if isinstance(request, BenchPut):
            results = parse_put_reply(frame, request.pages_count)
            del self._under_way[request_id]
            request.on_done(results)
        else:
            packed = parse_get_reply(frame, request.pages_count)
            del self._under_way[request_id]
            request.on_done((packed, frame.body))

    def on_request_failed(self, request_id: int) -> None:
        """There is no answer."""
        self._under_way.pop(request_id).on_done(None)
