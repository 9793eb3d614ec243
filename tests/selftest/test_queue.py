"""A worker that dies, as xdist's DSession tells the scheduler of it."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.plugins import order


class Worker:
    """Runs what it is sent, one test at a step."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.sent: list[int] = []
        self.ran: list[int] = []

    def send_runtest_some(self, indexes: list[int]) -> None:
        self.sent += indexes

    def shutdown(self) -> None:
        self.shutting_down = True

    def step(self, queue: order.Queue) -> None:
        if self.sent:
            self.ran.append(self.sent.pop(0))
            queue.mark_test_complete(self, self.ran[-1])


def test_a_worker_that_dies_takes_only_its_test_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "shares", lambda _: False)
    order.taken_together.cache_clear()
    ids = [f"tests/system/test_a.py::test_one[{number}]" for number in range(40)]
    option = SimpleNamespace(dist="loadscope", loadscopereorder=True)
    config: Any = SimpleNamespace(option=option, getvalue=lambda _: ["popen", "popen"])
    queue = order.Queue(config)
    lives, dies, anew = (Worker(name) for name in ("gw0", "gw1", "gw2"))
    for worker in (lives, dies):
        queue.add_node(worker)
    for worker in (lives, dies):
        queue.add_node_collection(worker, ids)
    queue.schedule()
    for _ in range(12):
        lives.step(queue)
        dies.step(queue)
    crashed = dies.sent[0]
    assert queue.remove_node(dies) == ids[crashed]
    queue.add_node(anew)
    queue.add_node_collection(anew, ids)
    queue.schedule()
    for _ in range(len(ids)):
        lives.step(queue)
        anew.step(queue)
    order.taken_together.cache_clear()
    assert lives.shutting_down, "the run never ends"
    assert anew.shutting_down, "the run never ends"
    assert sorted(lives.ran + dies.ran + anew.ran) == sorted({*range(40)} - {crashed})
