import logging

import pytest

from nodemanager.events import (
    NO_MEMBER,
    NewIncarnation,
    NodeCleared,
    NodeDown,
    NodeDraining,
    NodeEvent,
    NodeSubscribers,
    NodeSuspected,
    NodeUp,
)
from nodemanager.ids import Incarnation, NodeId
from nodemanager.journal import subscribe_log

PEER, INCARNATION = NodeId(3), Incarnation(100)


@pytest.mark.parametrize(
    ("event", "level", "line"),
    [
        (
            NodeUp(PEER, INCARNATION),
            logging.INFO,
            "node gamma is up; it started at 1970-01-01 00:00:00.100 UTC",
        ),
        (
            NodeSuspected(PEER, INCARNATION, "quiet"),
            logging.WARNING,
            "node gamma is suspect: quiet",
        ),
        (NodeCleared(PEER, INCARNATION), logging.INFO, "node gamma is up again"),
        (NodeDraining(PEER, INCARNATION), logging.INFO, "node gamma is draining"),
        (
            NodeDown(PEER, None, "quiet"),
            logging.WARNING,
            "node gamma is down: quiet; it was never up",
        ),
        (
            NodeDown(PEER, INCARNATION, "quiet"),
            logging.WARNING,
            "node gamma is down: quiet",
        ),
        (
            NodeDown(PEER, INCARNATION, NO_MEMBER),
            logging.INFO,
            "node gamma is not in the cluster of this node any more",
        ),
        (
            NodeDown(PEER, INCARNATION, "stopped in order"),
            logging.INFO,
            "node gamma has stopped in order",
        ),
        (
            NewIncarnation(PEER, INCARNATION, Incarnation(200)),
            logging.WARNING,
            (
                "node gamma has restarted at 1970-01-01 00:00:00.200 UTC without the pages that it held: those with"
                " another copy are copied again"
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str | int) else "",
)
def test_each_event_is_one_line(
    event: NodeEvent, level: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ramster.nodes")
    subscribers = NodeSubscribers()
    subscribe_log(subscribers, {PEER: "gamma"}.__getitem__)
    subscribers.publish([event])
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [(level, line)]


def test_the_log_tells_an_event_before_anyone_acts_on_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ramster.nodes")
    lines_seen: list[int] = []
    subscribers = NodeSubscribers()
    subscribers.subscribe(NodeUp, lambda _: lines_seen.append(len(caplog.records)), priority=0)
    subscribe_log(subscribers, {PEER: "gamma"}.__getitem__)
    subscribers.publish([NodeUp(PEER, INCARNATION)])
    assert lines_seen == [1]
