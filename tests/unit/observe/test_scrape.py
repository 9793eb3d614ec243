from http import HTTPStatus

import pytest

from ramsterd.observe.scrape import HEAD_BYTES_MAX, BadRequest, Request, ScrapeProtocol

GET = b"GET /metrics?a=b HTTP/1.1\r\nHost: n1\r\nAccept: text/plain\r\nAccept: */*\r\n\r\n"


def answered(protocol: ScrapeProtocol, status: HTTPStatus = HTTPStatus.OK) -> bytes:
    return b"".join(protocol.answer(status, b"text\n", date="today"))


def test_requests_come_one_after_the_other_however_they_were_sent() -> None:
    protocol = ScrapeProtocol()
    protocol.receive_data(GET + GET[:10])
    for _ in range(3):
        assert protocol.next_request() == Request("/metrics", "text/plain,*/*")
        assert protocol.next_request() is None
        answer = answered(protocol)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n")
        assert answer.endswith(b"Content-Length: 5\r\nDate: today\r\n\r\ntext\n")
        assert not protocol.is_over
        assert protocol.next_request() is None
        protocol.receive_data(GET[10:] + GET[:10])


def test_the_body_of_an_answer_is_not_copied() -> None:
    protocol = ScrapeProtocol()
    protocol.receive_data(GET)
    protocol.next_request()
    body = b"x" * 100_000
    assert protocol.answer(HTTPStatus.OK, body)[1] is body


def test_a_head_is_answered_by_a_head() -> None:
    protocol = ScrapeProtocol()
    protocol.receive_data(GET.replace(b"GET", b"HEAD"))
    assert protocol.next_request() is not None
    assert answered(protocol).endswith(b"Content-Length: 5\r\nDate: today\r\n\r\n")
    assert not protocol.is_over


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.0\r\n\r\n", GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")],
)
def test_a_client_that_wants_one_answer_gets_one(said: bytes) -> None:
    protocol = ScrapeProtocol()
    protocol.receive_data(said)
    assert protocol.next_request() is not None
    answer = answered(protocol)
    assert b"Connection: close\r\n" in answer
    assert protocol.is_over


def test_a_client_that_closes_between_requests_has_closed() -> None:
    protocol = ScrapeProtocol()
    assert protocol.next_request() is None
    assert not protocol.has_closed
    protocol.receive_data(b"")
    assert protocol.next_request() is None
    assert protocol.has_closed


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host: header"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n", 400, "illegal request line"),
        (GET[:-2] + b"a: b\r\n" * (HEAD_BYTES_MAX // 6), 431, "Receive buffer too long"),
        (b"G" * (HEAD_BYTES_MAX + 1), 431, "Receive buffer too long"),
        (GET[:-2] + b"Content-Length: 1\r\n\r\n", 413, "a request with a body"),
        (GET.replace(b"GET", b"POST"), 405, "GET and HEAD are what there is"),
        (GET.replace(b"GET", b"CONNECT"), 405, "GET and HEAD are what there is"),
    ],
)
def test_what_is_no_request_is_answered_once(said: bytes, status: int, reason: str) -> None:
    protocol = ScrapeProtocol()
    protocol.receive_data(said)
    with pytest.raises(BadRequest, match=reason) as raised:
        protocol.next_request()
    assert raised.value.status == status
    answer = answered(protocol, raised.value.status)
    assert (b"Allow: GET, HEAD\r\n" in answer) == (status == 405)
    assert b"Connection: close\r\n" in answer
    assert protocol.is_over
