import os
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.limits import CONFIG_FILE_BYTES_MAX
from config.load import load_cluster, load_daemon, load_node
from tests.helpers.config_texts import CLUSTER, DAEMON, write


def test_a_node_is_loaded_from_both_files(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    daemon, cluster, node = load_node(write(tmp_path, "ramsterd.toml", DAEMON))
    assert (daemon.node, cluster.name, node.number, node.port) == ("alpha", "lab", 1, 7701)
    assert [each.size for each in daemon.export] == [1 << 20, 4096]


def test_relative_paths_start_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc", "ramsterd.toml", DAEMON + '[nbd]\nsocket = "../run/s"\n')
    monkeypatch.chdir(tmp_path)
    daemon = load_daemon(Path("etc/ramsterd.toml"))
    assert daemon.cluster == tmp_path / "etc/cluster.toml"
    assert daemon.nbd.socket == tmp_path / "etc/../run/s"


def test_a_node_that_the_cluster_does_not_know_is_named_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    path = write(tmp_path, "ramsterd.toml", DAEMON.replace('"alpha"', '"alhpa"'))
    with pytest.raises(ConfigError) as caught:
        load_node(path)
    assert caught.value.key == "node"
    assert caught.value.found == "'alhpa'"
    assert caught.value.expected.endswith(f"[[node]] in {tmp_path}/cluster.toml, such as alpha")


def test_a_node_unlike_any_other_is_told_with_all_names(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    path = write(tmp_path, "ramsterd.toml", DAEMON.replace('"alpha"', '"zzz"'))
    with pytest.raises(ConfigError, match=r"such as alpha, beta$"):
        load_node(path)


def test_a_node_that_appears_twice_is_a_duplicate(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER.replace("beta", "alpha"))
    path = write(tmp_path, "ramsterd.toml", DAEMON)
    with pytest.raises(
        ConfigError,
        match=r"cluster.toml: node 2 \(\"alpha\"\), line \d+: name: found 'alpha' for number \d, which is the name of number \d too",
    ):
        load_node(path)


def test_a_missing_cluster_file_is_named_by_its_own_path(tmp_path: Path) -> None:
    path = write(tmp_path, "ramsterd.toml", DAEMON)
    with pytest.raises(ConfigError) as caught:
        load_node(path)
    assert caught.value.file == str(tmp_path / "cluster.toml")
    assert caught.value.found == "no such file"


def test_a_node_that_was_removed_hears_since_when_and_how_to_come_back(tmp_path: Path) -> None:
    path = write(
        tmp_path, "cluster.toml", "membership_version = 8\nmembership_origin = 2\n" + CLUSTER
    )
    os.utime(path, (0, 1_764_000_000))
    write(tmp_path, "ramsterd.toml", DAEMON.replace('"alpha"', '"gamma"'))
    with pytest.raises(ConfigError) as caught:
        load_node(tmp_path / "ramsterd.toml")
    expected = caught.value.expected
    assert "Cluster lab has no gamma (any more) since membership version 8 or earlier" in expected
    assert f"made at node beta and written to {path} at 2025-11-24 16:00 UTC" in expected
    assert "`ramsterctl node add --name gamma --number N …` at a member" in expected
    assert "alpha" not in expected


def test_a_name_that_is_nearly_one_of_a_member_is_taken_for_a_typing_mistake(
    tmp_path: Path,
) -> None:
    write(tmp_path, "cluster.toml", "membership_version = 8\nmembership_origin = 2\n" + CLUSTER)
    write(tmp_path, "ramsterd.toml", DAEMON.replace('"alpha"', '"alfa"'))
    with pytest.raises(ConfigError, match="If it is a typing mistake of alpha, correct it"):
        load_node(tmp_path / "ramsterd.toml")


def test_a_folder_or_a_pipe_is_not_a_file(tmp_path: Path) -> None:
    """Opening the pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match="found something that is not a regular file"):
            load_cluster(path)


def test_a_file_that_cannot_be_read_is_told_with_the_reason() -> None:
    # The start of its own memory is mapped in no process: reading it is an I/O error for root too.
    with pytest.raises(
        ConfigError, match="found input/output error, expected a readable TOML file"
    ):
        load_cluster(Path("/proc/self/mem"))


def test_a_path_that_cannot_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_cluster(Path("a\0b"))
    with pytest.raises(ConfigError, match="found file name too long"):
        load_cluster(tmp_path / ("x" * 300))
    with pytest.raises(ConfigError):
        load_cluster(write(tmp_path, "plain", "") / "below")


def test_a_very_large_file_is_not_parsed(tmp_path: Path) -> None:
    path = write(tmp_path, "cluster.toml", CLUSTER + "#" * CONFIG_FILE_BYTES_MAX)
    with pytest.raises(ConfigError, match="at most 1048576 bytes"):
        load_cluster(path)


def test_a_user_that_the_machine_does_not_know_is_told_with_its_place(tmp_path: Path) -> None:
    load_daemon(write(tmp_path, "ramsterd.toml", DAEMON + '[tmem]\nusers = ["root", 1000]\n'))
    with pytest.raises(ConfigError) as caught:
        load_daemon(write(tmp_path, "bad.toml", DAEMON + '[tmem]\nusers = [0, "no.such.user"]\n'))
    assert caught.value.key == "tmem.users[1]"
    assert caught.value.found == "'no.such.user'"
    assert caught.value.expected == "the name of a user of this machine, or an id"


@pytest.mark.parametrize(
    ("line", "found"),
    [("", None), ('heartbeat_key = ""\n', None), ('heartbeat_key = "keys/beat"\n', "keys/beat")],
    ids=["left out", "empty", "relative"],
)
def test_the_heartbeat_key_is_a_file_beside_the_config_or_none(
    tmp_path: Path, line: str, found: str | None
) -> None:
    path = write(tmp_path, "ramsterd.toml", line + DAEMON)
    assert load_daemon(path).heartbeat_key == (None if found is None else tmp_path / found)


@pytest.mark.parametrize("value", ["7", "true", '["a"]', r'"a\u0000b"'])
def test_a_heartbeat_key_that_is_no_path_is_refused_by_name(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "ramsterd.toml", f"heartbeat_key = {value}\n" + DAEMON)
    with pytest.raises(ConfigError) as caught:
        load_daemon(path)
    assert caught.value.key == "heartbeat_key"


def test_a_node_whose_heartbeats_anyone_could_forge_is_refused(tmp_path: Path) -> None:
    """TLS covers the links only; the daemon could not bind its heartbeat anyway."""
    write(tmp_path, "cluster.toml", CLUSTER.replace('"127.0.0.1"', '"192.0.2.7"'))
    tls = '[tls]\nca = "ca.pem"\ncertificate = "n.pem"\nkey = "n.key"\n'
    path = write(tmp_path, "ramsterd.toml", DAEMON + tls)
    with pytest.raises(ConfigError, match=r"node 1 .*: address: found '192.0.2.7'.*heartbeat_key"):
        load_node(path)
    write(tmp_path, "ramsterd.toml", 'heartbeat_key = "heartbeat.key"\n' + DAEMON + tls)
    assert load_node(path)[2].address == "192.0.2.7"
