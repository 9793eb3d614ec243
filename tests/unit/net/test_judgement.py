from typing import cast

from net.judgement import (
    PROBE_SECONDS,
    Accepted,
    Refused,
    Undecided,
    judge_second_link,
    why_replaced,
)
from net.link import Link, LinkStatistics
from nodemanager.ids import NodeId


class Present:
    """A link as far as it is judged."""

    def __init__(self) -> None:
        self.node = NodeId(2)
        self.bytes_received = 100

    def statistics(self) -> LinkStatistics:
        return LinkStatistics(
            frames_sent_total=0,
            frames_received_total=0,
            bytes_sent_total=0,
            bytes_received_total=self.bytes_received,
            requests_in_flight=0,
            send_queue_bytes=0,
            late_replies_total=0,
            timeouts_total=0,
        )


def begin(present: Present, now: float = 5.0) -> Undecided:
    doubt = judge_second_link(cast("Link", present), doubt=None, now=now)
    assert isinstance(doubt, Undecided)
    return doubt


def test_the_present_link_gets_its_time() -> None:
    assert begin(Present()).until == 5.0 + PROBE_SECONDS


def test_a_byte_over_the_present_link_keeps_it() -> None:
    present = Present()
    doubt = begin(present)
    present.bytes_received += 1
    assert judge_second_link(cast("Link", present), doubt=doubt, now=6.0) == Refused(
        "a second link of this node: the first one is open"
    )


def test_a_present_link_without_a_byte_gives_way() -> None:
    present = Present()
    doubt = begin(present)
    assert judge_second_link(cast("Link", present), doubt=doubt, now=6.0) == Accepted()


def test_a_link_that_came_meanwhile_is_probed_for_itself() -> None:
    doubt, other = begin(Present()), Present()
    again = judge_second_link(cast("Link", other), doubt=doubt, now=6.0)
    assert isinstance(again, Undecided)
    assert again.present is cast("Link", other)
    assert again.until == 6.0 + PROBE_SECONDS


def test_the_log_says_why_a_link_was_replaced() -> None:
    def why(
        *,
        is_newer: bool = False,
        is_attached: bool = False,
        has_moved: bool = False,
        is_dialer: bool = False,
    ) -> str:
        return why_replaced(
            is_newer=is_newer, is_attached=is_attached, has_moved=has_moved, is_dialer=is_dialer
        )

    assert why(is_newer=True) == "came back with a new incarnation"
    assert why(is_attached=True, is_dialer=True) == "was restarted with its memory kept"
    assert why(has_moved=True, is_dialer=True) == "moved"
    assert why(has_moved=True) == "dialled this node where it has moved to"
    assert "did not answer on this link within 1 s" in why()
    assert "sent nothing on this link" in why(is_dialer=True)
