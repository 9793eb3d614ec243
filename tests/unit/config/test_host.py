"""What is read of this machine; limits of memory have a file of their own."""

import os
from pathlib import Path

import pytest

from config.facts import MemoryFolder, PlaceType
from config.host import find_user, own_user, owner_of, survey, user_of, way_to, why_unbindable
from config.load import load_node
from config.model import NodeConfig
from tests.helpers.config_texts import CLUSTER, DAEMON, write

UNIT = """\
[Service]
ExecStart=/opt/ramster/bin/ramsterd run --config /etc/ramster/ramsterd.toml
RuntimeDirectory=ramster ramster-more
StateDirectory=ramster
"""


def test_a_way_has_each_folder_and_then_the_thing(tmp_path: Path) -> None:
    path = write(tmp_path, "file", "x")
    path.chmod(0o640)
    way = way_to(path)
    assert [place.path for place in way] == [*reversed(path.parents), path]
    assert {place.type for place in way[:-1]} == {PlaceType.FOLDER}
    last = way[-1]
    assert (last.type, last.mode, last.uid) == (PlaceType.FILE, 0o640, os.geteuid())
    assert last.owner.count(":") == 1


def test_a_way_follows_links_and_ends_in_the_folder_where_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    path = write(tmp_path, "file", "x")
    (tmp_path / "etc" / "link").symlink_to(path)
    places = [place.path for place in way_to(tmp_path / "etc" / "link")]
    assert places[-3:] == [tmp_path / "etc", tmp_path, path]


def test_a_way_ends_at_the_first_thing_that_is_missing(tmp_path: Path) -> None:
    way = way_to(tmp_path / "a" / "b")
    assert way[-1].type is PlaceType.MISSING
    assert way[-1].path == tmp_path / "a"
    plain = write(tmp_path, "plain", "")
    assert way_to(plain / "below")[-1].type is PlaceType.MISSING


def test_an_address_of_this_machine_can_be_bound_and_another_not() -> None:
    assert why_unbindable("127.0.0.1") == ""
    assert why_unbindable("192.0.2.1") == "cannot assign requested address"
    assert why_unbindable("fe80::1") == "invalid argument"
    assert "no interface nowhere0" in why_unbindable("fe80::1%nowhere0")


def test_one_address_of_several_is_enough() -> None:
    assert why_unbindable("192.0.2.1", "127.0.0.1") == ""
    assert why_unbindable("192.0.2.1", "198.51.100.7") == "cannot assign requested address"


def test_users_are_found_by_name_and_by_id() -> None:
    assert find_user("root") == find_user("0") == user_of(0)
    assert find_user("4294967294").groups == frozenset()
    with pytest.raises(KeyError):
        find_user("no.such.user")
    assert own_user().uid == os.geteuid()


def test_the_owner_of_a_folder_is_found(tmp_path: Path) -> None:
    assert owner_of(tmp_path).uid == os.geteuid()
    assert owner_of(tmp_path / "none") == own_user()


def test_all_that_the_files_name_is_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    file = write(tmp_path, "ramsterd.toml", DAEMON + '[control]\nsocket = "run/c.sock"\n')
    root = tmp_path / "root"
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True)
    write(units, "ramsterd.service", UNIT)
    write(units, "other.service", "[Service]\nExecStart=/bin/true\nRuntimeDirectory=other\n")
    (units / "ramsterd.service.d").mkdir()
    write(units / "ramsterd.service.d", "more.conf", "[Service]\nRuntimeDirectory=dropped-in\n")
    write(units, "wrapped.service", "[Service]\nExecStart=/opt/run\n")
    (units / "wrapped.service.d").mkdir()
    only_there = "[Service]\nExecStart=/usr/bin/ramsterd run\nStateDirectory=wrapped\n"
    write(units / "wrapped.service.d", "more.conf", only_there)
    os.mkfifo(units / "nobody-writes-it.service")
    (units / "masked.service").symlink_to("/dev/null")
    (root / "proc/sys/net/ipv4").mkdir(parents=True)
    write(root / "proc/sys/net/ipv4", "ip_unprivileged_port_start", "80\n")
    (root / "proc/self").mkdir()
    write(root / "proc/self", "mountinfo", "1 2 0:1 / /etc/one\\040file rw - ext4 /dev/x rw\n")
    daemon, _, node = load_node(file)
    found = survey(daemon, node, file=str(file), user=own_user(), root=root)
    in_run = {Path("/run") / name for name in ("ramster", "ramster-more", "dropped-in")}
    in_state = {Path("/var/lib") / name for name in ("ramster", "wrapped")}
    assert found.made_folders == {*in_run, *in_state}
    assert found.unprivileged_port == 80
    assert found.mount_points == {Path("/etc/one file")}
    assert found.unbindable == {}
    assert set(found.ways) == {
        Path("/var/lib/ramster"), file, tmp_path / "cluster.toml", tmp_path / "run", tmp_path / "run/c.sock"
    }  # fmt: skip
    assert found.ways[tmp_path / "run"][-1].type is PlaceType.MISSING
    assert found.memory == ()


def test_an_address_that_can_not_be_bound_is_told(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    file = write(tmp_path, "ramsterd.toml", DAEMON)
    daemon, _, _ = load_node(file)
    node = NodeConfig(number=1, name="alpha", address="192.0.2.1")
    found = survey(daemon, node, file=str(file), user=own_user())
    assert found.unbindable == {"192.0.2.1": "cannot assign requested address"}


def test_the_folder_that_keeps_memory_is_looked_at_with_what_is_there_already(
    tmp_path: Path,
) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    root, folder, link = tmp_path / "root", tmp_path / "memory", tmp_path / "link"
    (root / "proc/self").mkdir(parents=True)
    write(root / "proc/self", "mountinfo", "1 2 0:1 / / rw - tmpfs tmpfs rw\n")

    text = DAEMON.replace("[memory]", '[memory]\nkeep = "{}"')

    def look(path: Path) -> MemoryFolder:
        file = write(tmp_path, "ramsterd.toml", text.format(path))
        daemon, _, node = load_node(file)
        found = survey(daemon, node, file=str(file), user=own_user(), root=root)
        assert path in found.ways
        assert found.memory_folder is not None
        return found.memory_folder

    assert look(folder).file_system == "tmpfs", "it is to be made there"
    folder.mkdir()
    free_bytes = look(folder).free_bytes
    assert free_bytes is not None
    with (folder / "arena.memory").open("wb") as arena:
        os.posix_fallocate(arena.fileno(), 0, 64 << 20)
    link.symlink_to(folder)
    found = look(link)
    assert found.is_link
    assert not look(folder).is_link
    assert found.free_bytes is not None
    assert found.free_bytes > free_bytes - (32 << 20), "what is there already is ours"
