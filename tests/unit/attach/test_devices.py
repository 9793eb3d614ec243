"""What is read of /sys and /proc, from made ones."""

from pathlib import Path

import pytest

from ramsterd.attach.devices import BadDevice, Devices, mounts_in, parse_device, swaps_in

SWAPS = """Filename				Type		Size		Used		Priority
/dev/nbd0                               partition	262140		0		-2
/with\\040blank                          file		1020		0		-3
"""
MOUNTS = """21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 21 43:32 / /mnt/a\\040b rw - ext4 /dev/nbd1 rw
short line
"""


@pytest.fixture
def devices(tmp_path: Path) -> Devices:
    for index in range(3):
        folder = tmp_path / "sys" / "block" / f"nbd{index}"
        (folder / "holders").mkdir(parents=True)
        (folder / "queue").mkdir()
        (folder / "dev").write_text(f"43:{32 * index}\n")
        (folder / "size").write_text("2048\n")
    (tmp_path / "proc" / "1").mkdir(parents=True)
    (tmp_path / "proc" / "swaps").write_text(SWAPS)
    (tmp_path / "proc" / "1" / "mountinfo").write_text(MOUNTS)
    return Devices(sys=tmp_path / "sys", proc=tmp_path / "proc")


def test_a_device_is_named_with_or_without_its_folder() -> None:
    assert parse_device("nbd0") == 0
    assert parse_device("/dev/nbd15") == 15


@pytest.mark.parametrize(
    "text", ["", "sda", "/dev/nbd", "nbd0p1", "nbd-1", "nbd9999999", "nbd\u0661"]
)
def test_what_is_no_device_is_named_with_what_is_expected(text: str) -> None:
    with pytest.raises(BadDevice, match="expected a device of the kernel's nbd, such as /dev/nbd0"):
        parse_device(text)


def test_swap_and_mounts_are_read_with_their_escapes() -> None:
    assert swaps_in(SWAPS) == {"/dev/nbd0", "/with blank"}
    assert mounts_in(MOUNTS) == {"254:0": "/", "43:32": "/mnt/a b"}
    assert swaps_in("") == set()


def test_swap_mounts_holders_and_partitions_are_users(devices: Devices) -> None:
    assert devices.users(0) == ["swap on /dev/nbd0"]
    assert devices.users(1) == ["the mount /mnt/a b"]
    assert devices.users(2) == []
    folder = devices.sys / "block" / "nbd2"
    (folder / "holders" / "dm-0").mkdir()
    (folder / "nbd2p1" / "holders" / "md7").mkdir(parents=True)
    assert devices.users(2) == ["/dev/dm-0", "/dev/md7"]


def test_where_process_1_is_hidden_our_own_mounts_are_read(devices: Devices) -> None:
    (devices.proc / "1" / "mountinfo").rename(devices.proc / "mountinfo")
    (devices.proc / "self").mkdir()
    (devices.proc / "mountinfo").rename(devices.proc / "self" / "mountinfo")
    assert devices.users(1) == ["the mount /mnt/a b"]


def test_a_size_is_in_sectors(devices: Devices) -> None:
    assert devices.size(0) == 1 << 20
    assert devices.size(9) == 0


def test_what_a_device_is_attached_to_may_be_unsaid(devices: Devices) -> None:
    assert devices.identifier(0) == ""
    (devices.sys / "block" / "nbd0" / "backend").write_text("ramster swap0 of /s\n")
    assert devices.identifier(0) == "ramster swap0 of /s"


def test_the_timer_is_in_milliseconds(devices: Devices) -> None:
    devices.set_resend_seconds(0, 5)
    assert (devices.sys / "block" / "nbd0" / "queue" / "io_timeout").read_text() == "5000\n"
