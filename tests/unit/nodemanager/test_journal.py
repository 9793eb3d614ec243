import logging

import pytest

from nodemanager.events import (
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

PEER, LIFE = NodeId(3), Incarnation(100)


@pytest.mark.parametrize(
    ("event", "level", "line"),
    [
        (NodeUp(PEER, LIFE), logging.INFO, "node gamma is up, incarnation 100"),
        (NodeSuspected(PEER, LIFE, "quiet"), logging.WARNING, "node gamma is suspect: quiet"),
        (NodeCleared(PEER, LIFE), logging.INFO, "node gamma is up again"),
        (NodeDraining(PEER, LIFE), logging.INFO, "node gamma is draining"),
        (
            NodeDown(PEER, None, "quiet"),
            logging.WARNING,
            "node gamma is down: quiet; it was never up",
        ),
        (
            NodeDown(PEER, LIFE, "quiet"),
            logging.WARNING,
            "node gamma is down: quiet; incarnation 100",
        ),
        (
            NodeDown(PEER, LIFE, "said goodbye"),
            logging.INFO,
            "node gamma has stopped in order; incarnation 100",
        ),
        (
            NewIncarnation(PEER, LIFE, Incarnation(200)),
            logging.WARNING,
            "node gamma has restarted: all pages that it held are gone; incarnation 200, before it 100",
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
    subscribers.publish([NodeUp(PEER, LIFE)])
    assert lines_seen == [1]
