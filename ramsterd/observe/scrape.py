"""HTTP/1.1 as a scraper or a browser speaks it: bytes in, requests out; answers in, bytes out.

Pure; h11 knows the protocol.  A request here has no body, and a head of 8 KiB at most; a client
that breaks that, or the protocol, gets one answer and the end of the connection, and so does one
that wants more than to read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import h11

# Method, target and all header fields of a request: Prometheus sends 300 bytes.
HEAD_BYTES_MAX: Final = 8 * 1024
PLAIN_TEXT: Final = "text/plain; charset=utf-8"


class BadRequest(Exception):
    """What came is no request, or more than one may be: answer it, and the connection is over."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    path: str
    # The media types that the client takes.
    accept: str


class ScrapeProtocol:
    """One connection of a scraper, which asks for one thing after the other."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self._request: h11.Request | None = None

    @property
    def is_over(self) -> bool:
        """Whether the last answer was the last: the connection is to be closed."""
        return self._http.our_state is not h11.IDLE

    @property
    def has_closed(self) -> bool:
        """Whether the client sends nothing more."""
        return self._http.their_state is h11.CLOSED

    @property
    def is_head(self) -> bool:
        """Whether the present request wants the head of an answer only."""
        return self._request is not None and self._request.method == b"HEAD"

    def receive_data(self, data: bytes) -> None:
        """Take what came; b"" means that the client closed."""
        self._http.receive_data(data)

    def next_request(self) -> Request | None:
        """Return a whole request, or None: it is not all here, or the client has closed.

        Raises:
            BadRequest: See there.
        """
        try:
            event = self._http.next_event()
            if not isinstance(event, h11.Request):
                return None
            self._request = event
            if event.method not in {b"GET", b"HEAD"}:
                raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD are what there is")
            end = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise _bad_request(error) from None
        if not isinstance(end, h11.EndOfMessage):
            # Not skipped: a client that sends a body means something else than us.
            raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a request with a body")
        accept = [value for name, value in event.headers if name == b"accept"]
        return Request(
            path=event.target.decode("ascii").partition("?")[0],
            accept=b",".join(accept).decode("latin-1"),
        )

    def answer(
        self,
        status: HTTPStatus,
        body: bytes,
        *,
        content_type: str = PLAIN_TEXT,
        date: str = "",
        more_fields: Sequence[tuple[str, str]] = (),
    ) -> list[bytes]:
        """Return the pieces of the answer to the last request, or to what was none."""
        fields = [("Content-Type", content_type), ("Content-Length", str(len(body))), *more_fields]
        if date:
            fields.append(("Date", date))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            fields.append(("Allow", "GET, HEAD"))
        if status >= HTTPStatus.BAD_REQUEST:
            fields.append(("Connection", "close"))
        http = self._http
        response = h11.Response(status_code=status, headers=fields, reason=status.phrase.encode())
        pieces = [http.send(response) or b""]
        if body and not self.is_head:
            pieces.append(http.send(h11.Data(body)) or b"")
        http.send(h11.EndOfMessage())
        if http.our_state is h11.DONE and http.their_state is h11.DONE:
            http.start_next_cycle()
            self._request = None
        return pieces

    @property
    def is_streaming(self) -> bool:
        """Whether an answer has begun that has no end."""
        return self._http.our_state is h11.SEND_BODY

    def begin_stream(self, content_type: str) -> bytes:
        """Return the head of an answer without an end: what follows are `part`s, until the connection closes."""
        fields = [("Content-Type", content_type), ("Cache-Control", "no-store")]
        reason = HTTPStatus.OK.phrase.encode()
        return self._http.send(h11.Response(status_code=HTTPStatus.OK, headers=fields, reason=reason)) or b""  # fmt: skip

    def part(self, data: bytes) -> bytes:
        """Return the next part of a stream, as it is sent."""
        return self._http.send(h11.Data(data)) or b""


def _bad_request(error: h11.RemoteProtocolError) -> BadRequest:
    # h11 raises it from a method of its own, whose frame would keep it, and us, until the collector
    # looks.
    error.__traceback__ = None
    is_long = error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if is_long else HTTPStatus.BAD_REQUEST
    return BadRequest(status, str(error))
