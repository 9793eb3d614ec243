"""`ramsterctl stop`: what it is refused for, and what it says before it begins."""

from typing import cast

import pytest

from ramsterd.admin.socket import CommandRefused
from ramsterd.restart.ending import Ending
from ramsterd.restart.handover import Handover
from ramsterd.restart.stopping import stop

OWNED = (
    "node alpha still owns 7 pages (1 client connected): these pages are lost when ramsterd stops"
)


class Node:
    """Stands for the handover and for the ending of one node."""

    def __init__(self, *ends: str, outlives_stop: bool = False) -> None:
        self.keeping = self
        self.outlives_stop = outlives_stop
        self.restart_id = ""
        self.ends = list(ends)
        self.begun: list[bool] = []

    def describe_all(self) -> list[str]:
        return self.ends

    def begin(self, *, forget: bool) -> None:
        self.begun.append(forget)

    def stop(self, **request: object) -> object:
        return stop(cast("Handover", self), cast("Ending", self), self.begin, request)


def test_a_node_without_pages_stops() -> None:
    node = Node()
    assert node.stop() == {"state": "stopping", "warnings": []}
    assert node.begun == [False]


def test_pages_that_would_end_are_named_with_what_to_type() -> None:
    node = Node(OWNED, "2 pages of other nodes end with this stop")
    with pytest.raises(CommandRefused) as refused:
        node.stop()
    text = str(refused.value)
    assert text.startswith(f"nothing was stopped: {OWNED}; 2 pages of other nodes")
    assert "`ramsterctl restart`" in text
    assert text.endswith("type `ramsterctl stop --forget`")
    assert not node.begun


def test_pages_that_a_folder_keeps_are_no_reason_and_no_warning() -> None:
    node = Node(OWNED, outlives_stop=True)
    assert node.stop() == {"state": "stopping", "warnings": []}
    assert node.begun == [False]


@pytest.mark.parametrize("outlives_stop", [False, True])
def test_what_is_forgotten_is_said_with_each_keeper(outlives_stop: bool) -> None:
    node = Node(OWNED, outlives_stop=outlives_stop)
    assert node.stop(forget=True) == {"state": "stopping", "warnings": [OWNED]}
    assert node.begun == [True]


def test_a_daemon_that_restarts_stops_later() -> None:
    node = Node()
    node.restart_id = "4f"
    with pytest.raises(CommandRefused, match="repeat the command"):
        node.stop(forget=True)
    assert not node.begun


def test_anything_but_yes_or_no_is_refused() -> None:
    node = Node()
    with pytest.raises(CommandRefused, match="forget: found 'yes', expected true or false"):
        node.stop(forget="yes")
    assert not node.begun
