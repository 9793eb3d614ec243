import pytest

from nodemanager.events import NodeDown, NodeSubscribers, NodeUp
from nodemanager.ids import Incarnation, NodeId

UP = NodeUp(NodeId(1), Incarnation(7))
DOWN = NodeDown(NodeId(1), Incarnation(7), "silent")


def test_subscribers_are_told_in_the_order_of_their_priority() -> None:
    told: list[str] = []
    subscribers = NodeSubscribers()
    subscribers.subscribe(NodeUp, lambda _: told.append("last"), priority=9)
    subscribers.subscribe(NodeUp, lambda _: told.append("first"), priority=-1)
    subscribers.subscribe(NodeUp, lambda _: told.append("second of equals"), priority=9)
    subscribers.publish([UP])
    assert told == ["first", "last", "second of equals"]


def test_a_subscriber_hears_only_the_type_it_asked_for() -> None:
    downs: list[NodeDown] = []
    subscribers = NodeSubscribers()
    subscribers.subscribe(NodeDown, downs.append, priority=0)
    subscribers.publish([UP, DOWN])
    assert downs == [DOWN]


def test_an_exception_in_a_subscriber_reaches_the_publisher() -> None:
    has_failed = False

    def fail_once(event: NodeUp) -> None:
        nonlocal has_failed
        if not has_failed:
            has_failed = True
            raise RuntimeError("a bug")

    later: list[NodeDown] = []
    subscribers = NodeSubscribers()
    subscribers.subscribe(NodeUp, fail_once, priority=0)
    subscribers.subscribe(NodeDown, later.append, priority=0)
    with pytest.raises(RuntimeError, match="a bug"):
        subscribers.publish([UP, DOWN])
    assert later == []
    subscribers.publish([UP])
    assert later == [], "what waited behind the failure is not told much later"


def test_an_event_caused_by_a_subscriber_waits_until_all_have_heard_the_present_one() -> None:
    told: list[str] = []
    subscribers = NodeSubscribers()

    def cause(event: NodeUp) -> None:
        told.append("a hears up")
        subscribers.publish([DOWN])

    subscribers.subscribe(NodeUp, cause, priority=0)
    subscribers.subscribe(NodeUp, lambda _: told.append("b hears up"), priority=1)
    subscribers.subscribe(NodeDown, lambda _: told.append("a hears down"), priority=0)
    subscribers.publish([UP])
    assert told == ["a hears up", "b hears up", "a hears down"]
