"""What a reload reads: each file for itself."""

import os
from pathlib import Path

import pytest

from config import host
from config.load import load_node
from config.model import DaemonConfig, NodeConfig
from ramsterd.reconfigure.examine import Reread, reread
from tests.helpers.authority import Authority
from tests.helpers.config_texts import CLUSTER, DAEMON, write

KEYS = 'heartbeat_key = "beat.key"\n'
TLS = '[tls]\nca = "{ca}"\ncertificate = "{certificate}"\nkey = "{key}"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    write(tmp_path, "cluster.toml", CLUSTER)
    write(tmp_path, "beat.key", "ab" * 32).chmod(0o600)
    tls = Authority(tmp_path).issue("alpha")
    text = KEYS + DAEMON + TLS.format(ca=tls.ca, certificate=tls.certificate, key=tls.key)
    return write(tmp_path, "ramsterd.toml", text)


def running(config: Path) -> tuple[DaemonConfig, NodeConfig]:
    daemon, _, node = load_node(config)
    return daemon, node


def test_all_is_read_again(config: Path) -> None:
    daemon, node = running(config)
    config.write_text(config.read_text() + '[log]\nlevel = "debug"\n')
    found = reread(config, node, daemon)
    assert found.problems == ()
    assert found.warnings == ()
    assert found.daemon is not None
    assert found.daemon.log.level.value == "debug"
    assert found.credentials is not None
    assert found.heartbeat_key == bytes([0xAB]) * 32


def test_a_mistake_in_one_file_keeps_nobody_from_renewing_another(config: Path) -> None:
    daemon, node = running(config)
    text = config.read_text()
    config.write_text("x = 1\n" + text)
    found = reread(config, node, daemon)
    assert found.daemon is None
    assert found.credentials is not None
    assert found.heartbeat_key is not None
    (problem,) = found.problems
    assert problem.startswith(
        f"the old configuration stays in force: {config}: x: found an unknown"
    )
    config.write_text(text)
    (config.parent / "beat.key").chmod(0o644)
    found = reread(config, node, daemon)
    assert found.daemon is not None
    assert found.credentials is not None
    assert found.heartbeat_key is None
    assert found.problems[0].startswith(
        f"the old heartbeat key stays in use: {config}: heartbeat_key: found "
    )
    assert daemon.tls is not None
    daemon.tls.key.unlink()
    assert len(reread(config, node, daemon).problems) == 2
    assert reread(config, node, daemon).problems[0].startswith("the old certificate stays in use:")


def test_a_node_without_keys_reads_its_own_file_alone(tmp_path: Path) -> None:
    write(tmp_path, "cluster.toml", CLUSTER)
    config = write(tmp_path, "ramsterd.toml", DAEMON)
    daemon, node = running(config)
    users = frozenset({0, os.geteuid()})
    assert reread(config, node, daemon) == Reread(daemon=daemon, tmem_users=users)


def test_an_export_that_is_for_swap_from_now_on_needs_a_start_for_the_rest(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "read_lock_limit", lambda _: None)
    daemon, node = running(config)
    config.write_text(
        config.read_text().replace('name = "swap0"\n', 'name = "swap0"\nswap = true\n')
    )
    found = reread(config, node, daemon)
    (warning,) = found.warnings
    assert warning == (
        f"{config}: export.swap: this daemon is protected from a shortage of memory from its next start on: type"
        " `ramsterctl restart`"
    )
    assert found.daemon is not None
    assert reread(config, node, found.daemon).warnings == ()
