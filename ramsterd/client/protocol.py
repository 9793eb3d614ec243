"""A client's side of the tmem socket without a socket: bytes in, finished requests out.  Pure.

The shell receives into `space()` and says how much came.  Headers and small replies land in a kept
buffer; the body of a GET lands in the caller's own buffer: what came together with the header is
copied there, the rest is received right into it.  Pages of a run that miss leave no gap on the
wire; they are moved apart at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from net.errors import RemoteProtocolError
from net.frame import HEADER, HEADER_BYTES, MAGIC, PROTOCOL_VERSION
from ramsterd.frontends.tmem.messages import (
    PAGE_BYTES,
    REPLY_LIMITS,
    ErrorCode,
    PageState,
    TmemType,
    encode_frame,
    parse_error,
)

# As much of replies as is received at once when no large one is expected.
BUFFER_BYTES: Final = 64 * 1024
# A GET of so many pages is received in two parts, so that its body need not be copied.
_LARGE_PAGES: Final = 4
_REQUEST_ID_MAX: Final = 0xFFFF_FFFF
_ZERO_PAGE: Final = bytes(PAGE_BYTES)

assert max(HEADER_BYTES + each.table_bytes_max for each in REPLY_LIMITS.values()) <= BUFFER_BYTES


@dataclass(slots=True, eq=False)
class Request:
    """One request: what is asked, and how it ended once `is_done`."""

    type: TmemType
    table: bytes = b""
    # How many pages a PUT brings or a GET wants.
    count: int = 0
    body: memoryview | None = None
    # Where the pages of a GET go; exactly `count` pages.
    target: memoryview | None = None
    index: int = 0
    request_id: int = 0
    is_done: bool = False
    # What came back: an error or the reply's table; of a GET one PageState a page.
    error: tuple[ErrorCode, str] | None = None
    reply: bytes = b""
    # How many pages a PUT stored.
    stored: int = 0
    # For the shell: whom to tell.
    waiter: object = None

    @property
    def in_flight_bytes(self) -> int:
        """What the request may make the daemon hold."""
        return self.count * PAGE_BYTES


@dataclass(slots=True)
class _Body:
    """A body on its way into its target."""

    request: Request
    view: memoryview
    position: int


class ClientProtocol:
    """The requests of one connection and their replies.  After RemoteProtocolError it is of no further use."""

    def __init__(self) -> None:
        # Requests without a reply, oldest first.
        self.waiting: dict[int, Request] = {}
        self.in_flight_bytes = 0
        # The daemon's last error, if it sent one.
        self.farewell: tuple[ErrorCode, str] | None = None
        self._last_id = 0
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._end = 0
        self._body: _Body | None = None

    def begin(self, request: Request) -> bytes:
        """Note that a request is on its way; return header and table, which its body follows."""
        self._last_id = self._last_id % _REQUEST_ID_MAX + 1
        request.request_id = self._last_id
        assert request.request_id not in self.waiting
        self.waiting[request.request_id] = request
        self.in_flight_bytes += request.in_flight_bytes
        body_bytes = 0 if request.body is None else len(request.body)
        return encode_frame(
            request.type,
            request.request_id,
            request.table,
            count=request.count,
            body_bytes=body_bytes,
        )

    def abandon(self, request: Request) -> None:
        """Nobody waits for a request any more: its reply must not touch the caller's buffer."""
        if request.is_done or request.target is None:
            return
        request.target = memoryview(bytearray(len(request.target)))
        if self._body is not None and self._body.request is request:
            self._body.view = request.target[: len(self._body.view)]

    def space(self) -> memoryview:
        """Return where to receive; never empty."""
        if self._body is not None:
            return self._body.view[self._body.position :]
        if not self._end and self.waiting:
            first = next(iter(self.waiting.values()))
            if first.type is TmemType.GET and first.count >= _LARGE_PAGES:
                return self._buffer[: HEADER_BYTES + first.count]
        return self._buffer[self._end :]

    def on_received(self, count: int) -> list[Request]:
        """Take `count` bytes that were received into `space()`; return the requests that ended.

        Raises:
            RemoteProtocolError: The daemon said what is no reply to anything that was asked.
        """
        done: list[Request] = []
        if self._body is not None:
            self._body.position += count
            if self._body.position == len(self._body.view):
                self._finish_body(self._body, done)
            return done
        self._end += count
        start = 0
        while self._end - start >= HEADER_BYTES:
            header_end = start + HEADER_BYTES
            table_bytes, body_bytes, request, stored = self._judge(
                HEADER.unpack_from(self._buffer, start)
            )
            table_end = header_end + table_bytes
            if table_end > self._end:
                break
            table = bytes(self._buffer[header_end:table_end])
            start = table_end
            if request is None:
                self.farewell = parse_error(table)
                continue
            if stored < 0:
                request.error = parse_error(table)
            else:
                request.reply, request.stored = table, stored
            if request.type is TmemType.GET and not request.error:
                here = self._begin_body(request, start, body_bytes, done)
                start += here
                if here < body_bytes:
                    break
            else:
                self._finish(request, done)
        rest = self._end - start
        if rest and start:
            self._buffer[:rest] = self._buffer[start : self._end]
        self._end = rest
        return done

    def _judge(self, header: tuple[int, ...]) -> tuple[int, int, Request | None, int]:
        """Return (table bytes, body bytes, request, count), count -1 for an error.

        No request: the daemon's last error.
        """
        magic, version, frame_type, flags, reserved, count, request_id, *lengths = header
        table_bytes, body_bytes = lengths
        limits = REPLY_LIMITS.get(frame_type)
        if (magic, version, reserved) != (MAGIC, PROTOCOL_VERSION, 0) or limits is None:
            raise RemoteProtocolError(f"no reply: {header}")
        if (
            count > limits.count_max
            or table_bytes > limits.table_bytes_max
            or body_bytes > limits.body_bytes_max
        ):
            raise RemoteProtocolError(f"a reply over its limits: {header}")
        is_error = frame_type == TmemType.ERROR
        if is_error and not flags and not request_id:
            return table_bytes, 0, None, -1
        request = self.waiting.get(request_id)
        if flags != 1 or request is None or frame_type not in {request.type, TmemType.ERROR}:
            raise RemoteProtocolError(f"a reply to nothing that was asked: {header}")
        if is_error:
            return table_bytes, 0, request, -1
        if request.type is TmemType.GET and (count, table_bytes) != (request.count, request.count):
            raise RemoteProtocolError(f"a reply with {count} pages, {request.count} were asked for")
        if count > request.count:
            raise RemoteProtocolError(f"{count} pages stored of {request.count}")
        return table_bytes, body_bytes, request, count

    def _begin_body(
        self, request: Request, start: int, body_bytes: int, done: list[Request]
    ) -> int:
        """Take what is here of a GET's body; return how much that was."""
        pages = request.reply.count(PageState.PAGE)
        if pages * PAGE_BYTES != body_bytes or max(request.reply) > max(PageState):
            raise RemoteProtocolError(f"{body_bytes} bytes for {pages} pages")
        assert request.target is not None
        here = min(self._end - start, body_bytes)
        request.target[:here] = self._buffer[start : start + here]
        body = _Body(request, request.target[:body_bytes], here)
        if here == body_bytes:
            self._finish_body(body, done)
        else:
            self._body = body
        return here

    def _finish_body(self, body: _Body, done: list[Request]) -> None:
        self._body = None
        request = body.request
        assert request.target is not None
        if request.reply.count(PageState.PAGE) != request.count:
            spread(request.target, request.reply)
        self._finish(request, done)

    def _finish(self, request: Request, done: list[Request]) -> None:
        del self.waiting[request.request_id]
        self.in_flight_bytes -= request.in_flight_bytes
        request.is_done = True
        done.append(request)


def spread(target: memoryview, states: bytes) -> None:
    """Move pages that lie back to back to their places in a run.

    The places of the others become zeros.
    """
    source = states.count(PageState.PAGE)
    for place in range(len(states) - 1, -1, -1):
        start = place * PAGE_BYTES
        if states[place] != PageState.PAGE:
            target[start : start + PAGE_BYTES] = _ZERO_PAGE
            continue
        source -= 1
        if source == place:
            # This page and all before it are in place; those before that miss can't exist.
            return
        target[start : start + PAGE_BYTES] = target[source * PAGE_BYTES : (source + 1) * PAGE_BYTES]


def pieces_of(request: Request, head: bytes) -> Iterable[bytes | memoryview]:
    """Return what to send for a request."""
    return (head,) if request.body is None else (head, request.body)
