"""What the engine wants sent, as a frame of a link."""

from net.link import Link
from ramsterd.pagepath.effects import Send


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
