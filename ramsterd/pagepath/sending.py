"""What the engine wants sent, as a frame of a link."""

from config.limits import IN_FLIGHT_MAX
from net.connection import REQUESTS_IN_FLIGHT_MAX
from net.link import Link
from ramsterd.pagepath.effects import Send
from ramsterd.remote.bench_requests import BENCH_IN_FLIGHT_MAX
from ramsterd.remote.fetch import read_ahead
from ramsterd.remote.fetch.asking import LATE_REQUESTS_MAX
from ramsterd.remote.send import ephemeral_remotify

assert (
    IN_FLIGHT_MAX
    + ephemeral_remotify.IN_FLIGHT_MAX
    + LATE_REQUESTS_MAX
    + BENCH_IN_FLIGHT_MAX
    + 2
    + read_ahead.REQUESTS_MAX
    <= REQUESTS_IN_FLIGHT_MAX
), (
    "PUTs of both kinds, GETs, read-ahead, a benchmark, a spot check and a LIST_PAGES fit on one link"
)


def queue_frame(link: Link, send: Send, now: float) -> None:
    """Queue it as a request with its deadline, or as a message or a reply that nothing answers."""
    body = (send.body,) if send.body else ()
    if send.seconds_max:
        link.request(
            send.type,
            request_id=send.request_id,
            deadline=now + send.seconds_max,
            count=send.count,
            table=send.table,
            body=body,
        )
    else:
        link.post(
            send.type,
            count=send.count,
            table=send.table,
            body=body,
            request_id=send.request_id,
            is_reply=send.is_reply,
        )
