"""`export-reset` and `pool-reset`: what is lost becomes blank, and nothing else does."""

import pytest

from ramsterd.admin.socket import CommandRefused
from ramsterd.admin.state_commands import state_commands
from ramsterd.statefile.content import Key, PoolKey
from ramsterd.statefile.marks import Marks
from tests.fakes.export_names import FakeExportNames
from tests.fakes.state_disk import StateDisk


def lost(*keys: Key) -> StateDisk:
    disk = StateDisk()
    for key in keys:
        disk.marks.of(key).wait_set(lambda _: None)
    disk.write()
    disk.start()
    disk.write()
    return disk


def run(marks: Marks, command: str, **request: object) -> object:
    return state_commands(marks, FakeExportNames("swap0"))[command]({"command": command, **request})


def test_a_lost_export_is_blank_once_that_is_on_disk() -> None:
    disk = lost("swap0")
    commands = state_commands(disk.marks, FakeExportNames("swap0"))
    reset = commands["export-reset"]
    assert reset({"name": "swap0"}) == {"state": "resetting"}
    assert reset({"name": "swap0"}) == {"state": "resetting"}
    disk.write()
    assert reset({"name": "swap0"}) == {"state": "blank"}
    with pytest.raises(CommandRefused, match="export swap0 is not lost: nothing has changed"):
        reset({"name": "swap0"})
    assert not disk.start().losses()


def test_an_export_with_pages_is_not_reset() -> None:
    disk = StateDisk()
    disk.marks.of("swap0").wait_set(lambda _: None)
    disk.write()
    with pytest.raises(
        CommandRefused, match=r"is not lost: .* nbd attach swap0 .* `blkdiscard /dev"
    ):
        run(disk.marks, "export-reset", name="swap0")
    assert disk.marks.of("swap0").is_set


def test_a_lost_export_that_is_not_in_the_config_is_forgotten() -> None:
    disk = lost("old")
    with pytest.raises(CommandRefused, match="no export 'other'; there are: old, swap0"):
        run(disk.marks, "export-reset", name="other")
    assert run(disk.marks, "export-reset", name="old") == {"state": "resetting"}
    disk.write()
    assert not disk.start().losses()


def test_a_lost_pool_is_reset_by_user_and_name() -> None:
    disk = lost(PoolKey(1000, "spill"), PoolKey(1001, "spill"))
    commands = state_commands(disk.marks, FakeExportNames())
    assert commands["pool-reset"]({"user": 1000, "name": "spill"}) == {"state": "resetting"}
    disk.write()
    assert commands["pool-reset"]({"user": 1000, "name": "spill"}) == {"state": "blank"}
    assert [loss.user for loss in disk.start().losses()] == [1001]


def test_a_reset_that_cant_be_written_says_so() -> None:
    disk = lost("swap0")
    commands = state_commands(disk.marks, FakeExportNames("swap0"))
    commands["export-reset"]({"name": "swap0"})
    disk.write(problem="no space left on device")
    with pytest.raises(CommandRefused, match=r"is lost again after a restart.*no space left"):
        commands["export-reset"]({"name": "swap0"})


@pytest.mark.parametrize(
    ("command", "request_", "line"),
    [
        ("export-reset", {}, "name: found"),
        ("pool-reset", {"user": True, "name": "x"}, "user: found true, expected a user id"),
        ("pool-reset", {"user": -1, "name": "x"}, "user: found -1"),
        ("pool-reset", {"user": 1}, "name: found"),
        ("pool-reset", {"user": 1, "name": "x"}, "pool 'x' of user 1 is not lost: .* destroy it"),
    ],
)
def test_a_request_that_is_none_is_one_line(
    command: str, request_: dict[str, object], line: str
) -> None:
    with pytest.raises(CommandRefused, match=line):
        run(StateDisk().marks, command, **request_)


def test_an_export_that_left_the_config_is_forgotten_with_its_pages() -> None:
    disk, exports = StateDisk(), FakeExportNames("swap0", left=("old",))
    reset = state_commands(disk.marks, exports)["export-reset"]
    with pytest.raises(CommandRefused, match="there are: old, swap0"):
        reset({"name": "none"})
    assert reset({"name": "old"}) == {"state": "resetting"}
    assert exports.left_names == []
    disk.write()
    assert reset({"name": "old"}) == {"state": "blank"}
