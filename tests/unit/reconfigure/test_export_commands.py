"""`export-add`, `-remove`, `-resize`: what is ordered, and what is said of it."""

import logging
from typing import Any

import pytest

from config.export_edits import AddExport, RemoveExport, ResizeExport
from config.model import ExportConfig
from ramsterd.admin.socket import CommandRefused
from ramsterd.observe.snapshot import ExportSnapshot
from ramsterd.reconfigure.ends import Ends
from ramsterd.reconfigure.errors import CannotApply
from ramsterd.reconfigure.export_commands import CHANGES_KEPT_MAX, ExportChanges
from ramsterd.reconfigure.reload import Done, Order
from ramsterd.statefile.marks import MarkState

DISK = ExportSnapshot(
    name="disk",
    size_bytes=8192,
    pages=1,
    unreadable_pages=0,
    is_swap=False,
    state=MarkState.USED,
    lost_at=0,
)


class Node:
    names = ("disk", "swap0")
    left_names = ("old",)

    def drop_left(self, name: str) -> None:
        raise AssertionError(name)

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.refusal = ""
        self.there: tuple[ExportSnapshot, ...] = (DISK,)
        self.changes = ExportChanges(self.order, self, lambda: self.there, run="r2")
        self.commands: dict[str, Any] = self.changes.commands()

    def order(self, order: Order) -> None:
        if self.refusal:
            raise CannotApply(self.refusal)
        self.orders.append(order)

    def ask(self, command: str, **arguments: object) -> Any:
        return self.commands[command](arguments)


def test_an_order_has_a_number_by_which_its_outcome_is_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    node = Node()
    begun = node.ask("export-add", export={"name": "disk", "size": "8KiB", "swap": True})
    (order,) = node.orders
    assert order.edit == AddExport(ExportConfig(name="disk", size=8192, swap=True))
    assert order.ends is None
    assert node.ask("export-change", **begun) == {"state": "applying"}
    order.on_done(Done(is_changed=True, warnings=("look",)))
    expected = {
        "state": "added",
        "is_changed": True,
        "name": "disk",
        "export": {
            "name": "disk", "size_bytes": 8192, "pages": 1, "unreadable_pages": 0, "is_swap": False,
            "state": "used", "lost_at": 0,
        },
        "warnings": ["look"],
    }  # fmt: skip
    assert node.ask("export-change", **begun) == expected
    assert node.ask("export-change", **begun) == expected, "asked again"
    assert caplog.messages == ["an operator has added export disk, 8KiB"]
    (record,) = caplog.records
    assert record.__dict__["event"]["event"] == "export_added"


def test_what_ends_says_whose_pages_and_whether_they_may(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    node = Node()
    begun = node.ask("export-remove", name="disk", force=True)
    node.ask("export-resize", name="swap0", size="1GiB")
    removal, resizing = node.orders
    assert (removal.edit, removal.ends) == (RemoveExport("disk"), Ends("disk", is_forced=True))
    assert resizing.edit == ResizeExport("swap0", 1 << 30)
    assert resizing.ends == Ends("swap0", is_forced=False)
    node.there = ()
    removal.on_done(Done(is_changed=True, warnings=(), dropped_pages=1204))
    resizing.on_done(Done(is_changed=True, warnings=()))
    assert node.ask("export-change", **begun)["export"] is None
    assert caplog.messages == [
        "an operator has removed export disk, and 1,204 pages with it",
        "an operator has resized export swap0 to 1GiB",
    ]
    removed, _ = [record.__dict__["event"] for record in caplog.records]
    assert (removed["event"], removed["pages"]) == ("export_removed", 1204)


def test_a_refusal_is_told_each_time_and_says_that_nothing_has_changed() -> None:
    node = Node()
    begun = node.ask("export-remove", name="disk")
    node.orders[0].on_refused("export disk: found 1 page, expected none")
    for _ in range(2):
        with pytest.raises(CommandRefused) as refused:
            node.ask("export-change", **begun)
        assert str(refused.value) == (
            "nothing has changed: export disk: found 1 page, expected none"
        )


def test_what_is_so_already_is_no_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    node = Node()
    begun = node.ask("export-resize", name="disk", size=8192)
    node.orders[0].on_done(Done(is_changed=False, warnings=()))
    assert node.ask("export-change", **begun)["is_changed"] is False
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("command", "arguments", "told"),
    [
        ("export-add", {}, "the new export: found None, expected a table"),
        (
            "export-add",
            {"export": {"name": "A", "size": 4096}},
            "the new export: name: found 'A', expected a name of a-z",
        ),
        (
            "export-add",
            {"export": {"name": "a", "size": 100}},
            "the new export: size: found 100, expected at least 4KiB",
        ),
        ("export-add", {"export": {"name": "a"}}, "size: found nothing, expected a value"),
        ("export-resize", {"name": "disk"}, "size: found None, expected a size such as"),
        (
            "export-resize",
            {"name": "disk", "size": 4097},
            "found 4097, expected a multiple of 4096",
        ),
        ("export-remove", {"name": "x"}, "no export 'x'; there are: disk, swap0"),
        ("export-remove", {}, "no export None; there are: disk, swap0"),
        ("export-remove", {"name": "old"}, "`ramsterctl export reset old` drops them"),
        ("export-change", {"run": "r2", "change": 7}, "change: found 7, expected the number of a"),
        ("export-change", {"run": "r2", "change": "x"}, "change: found 'x', expected the number"),
        ("export-change", {"change": 1}, "run: found None, expected the run that the change has"),
    ],
)
def test_bad_requests_are_refused_in_one_line(
    command: str, arguments: dict[str, object], told: str
) -> None:
    node = Node()
    with pytest.raises(CommandRefused) as refused:
        node.ask(command, **arguments)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
    assert node.orders == []


def test_an_order_for_which_there_is_no_room_is_refused_at_once() -> None:
    node = Node()
    node.refusal = "16 changes wait"
    with pytest.raises(CommandRefused, match="16 changes wait"):
        node.ask("export-remove", name="disk")


def test_old_outcomes_are_forgotten() -> None:
    node = Node()
    for _ in range(CHANGES_KEPT_MAX):
        node.ask("export-remove", name="disk")
    last = node.ask("export-remove", name="disk")
    assert node.changes.known == CHANGES_KEPT_MAX
    node.orders[0].on_refused("too late for anybody")
    assert node.ask("export-change", **last) == {"state": "applying"}
    with pytest.raises(CommandRefused, match="since the start of the daemon"):
        node.ask("export-change", run="r2", change=1)


def test_an_outcome_is_told_only_of_a_change_of_the_same_run() -> None:
    node = Node()
    assert node.ask("export-remove", name="disk") == {"change": 1, "run": "r2"}
    node.orders[0].on_done(Done(is_changed=True, warnings=()))
    with pytest.raises(CommandRefused) as refused:
        node.ask("export-change", run="r1", change=1)
    assert str(refused.value) == (
        "ramsterd has restarted since the change began, and does not know its outcome:"
        " `ramsterctl exports` shows which exports there are now"
    )


def test_a_truth_is_no_number_of_a_change() -> None:
    node = Node()
    node.ask("export-remove", name="disk")
    with pytest.raises(CommandRefused, match="expected the number of a change"):
        node.ask("export-change", run="r2", change=True)
