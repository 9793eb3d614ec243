"""The descriptor store, against a notify socket that plays systemd's."""

import os
import socket
from pathlib import Path

import pytest

from ramsterd.host import fd_store
from ramsterd.host.fd_store import DescriptorStore, descriptors_from
from tests.fakes.service_manager import FakeServiceManager
from tests.helpers.descriptors import first_free_descriptor


def write_file(text: bytes) -> int:
    fd = os.memfd_create("test")
    os.write(fd, text)
    return fd


def test_what_is_stored_is_handed_to_the_next_start(tmp_path: Path) -> None:
    with FakeServiceManager(tmp_path) as manager:
        store = DescriptorStore(manager.environ)
        assert store.has_manager
        assert store.descriptors_max == 64
        for name, text in (("one", b"1"), ("two", b"2")):
            fd = write_file(text)
            store.store(name, fd)
            os.close(fd)
        store.wait_handled()
        assert manager.heard == [
            ["FDSTORE=1", "FDNAME=one", "FDPOLL=0"],
            ["FDSTORE=1", "FDNAME=two", "FDPOLL=0"],
            ["BARRIER=1"],
        ]
        first = first_free_descriptor()
        with manager.started(os.getpid(), first=first) as environ:
            found = descriptors_from(environ, first=first)
        assert found == [("one", first), ("two", first + 1)]
        for text, (_, fd) in zip((b"1", b"2"), found, strict=True):
            assert not os.get_inheritable(fd)
            assert os.pread(fd, 10, 0) == text
            os.close(fd)


def test_what_is_removed_is_not_handed_on(tmp_path: Path) -> None:
    with FakeServiceManager(tmp_path) as manager:
        store = DescriptorStore(manager.environ)
        for name in ("one", "two", "one"):
            fd = write_file(b"")
            store.store(name, fd)
            # What is there already is not stored twice.
            store.store("again", fd)
            os.close(fd)
        store.remove("one")
        store.wait_handled()
        assert [name for name, _ in manager.stored] == ["two"]


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getppid())},
        {"LISTEN_FDS": "", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": ""},
    ],
)
def test_descriptors_that_are_not_for_this_process_are_none(environ: dict[str, str]) -> None:
    assert descriptors_from(environ) == []


def test_names_that_are_not_as_many_name_nothing() -> None:
    fd, first = write_file(b""), first_free_descriptor()
    os.dup2(fd, first)
    os.close(fd)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"}
    assert descriptors_from(environ, first=first) == [("", first)]
    os.close(first)


def test_without_a_manager_nothing_is_stored() -> None:
    store = DescriptorStore({"FDSTORE": "many"})
    assert not store.has_manager
    assert store.descriptors_max is None
    with pytest.raises(OSError, match="no service manager"):
        store.remove("one")
    with pytest.raises(OSError, match="no service manager"):
        store.wait_handled()


def test_a_manager_that_is_silent_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fd_store, "ANSWER_SECONDS_MAX", 0.01)
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(path)
        store = DescriptorStore({"NOTIFY_SOCKET": path})
        with pytest.raises(TimeoutError, match="silent"):
            store.wait_handled()
        with pytest.raises(TimeoutError):
            fill_queue(store)


@pytest.mark.parametrize(("descriptors_max", "has_room"), [(0, False), (1, True)])
def test_whether_a_manager_keeps_anything_is_tried(
    tmp_path: Path, descriptors_max: int, has_room: bool
) -> None:
    with FakeServiceManager(tmp_path, descriptors_max=descriptors_max, says_max=False) as manager:
        store = DescriptorStore(manager.environ)
        for _ in range(3):
            assert store.has_room() is has_room
        store.wait_handled()
        assert manager.stored == []


def fill_queue(store: DescriptorStore) -> None:
    while True:
        store.remove("one")
