"""What a machine can hardly give is said, and is no error."""

from pathlib import Path

import pytest

from config.machine import doubts_of_descriptors, doubts_of_machine, memory_of_machine
from config.model import DaemonConfig
from config.reader import read_toml
from tests.config_texts import DAEMON


def daemon(text: str) -> DaemonConfig:
    return read_toml(text.encode(), DaemonConfig, file="d", folder=Path("/x"))


def test_a_machine_has_memory() -> None:
    assert 1 << 26 < memory_of_machine() < 1 << 50


def test_a_budget_beyond_the_memory_of_the_machine_is_doubted() -> None:
    budget = 8 << 20
    assert doubts_of_machine(daemon(DAEMON), memory_bytes=budget + 1) == []
    (doubt,) = doubts_of_machine(daemon(DAEMON), memory_bytes=budget)
    assert doubt == (
        "memory.budget: found 8MiB, expected less than the memory of this machine (8 MiB)"
    )


@pytest.mark.parametrize("door", ["nbd", "tmem", "control"])
def test_a_socket_without_its_folder_is_doubted(tmp_path: Path, door: str) -> None:
    config = daemon(f'{DAEMON}[{door}]\nsocket = "{tmp_path}/run/socket"\n')
    (doubt,) = doubts_of_machine(config, memory_bytes=1 << 40)
    assert doubt.startswith(f"{door}.socket: found no folder {tmp_path}/run, expected one")
    (tmp_path / "run").mkdir()
    assert doubts_of_machine(config, memory_bytes=1 << 40) == []


def test_more_clients_than_there_are_descriptors_are_doubted() -> None:
    two = "".join(f'[[export]]\nname = "d{each}"\nsize = "4MiB"\n' for each in (1, 2))
    nbd = '[nbd]\nsocket = "/x/nbd"\nconnections_max = 100\n'
    tmem = '[tmem]\nsocket = "/x/tmem"\nconnections_max = 20\n'
    config = daemon(
        DAEMON.replace("[[export]]", "[[exports]]").partition("[[")[0] + nbd + tmem + two
    )
    assert doubts_of_descriptors(config, clients_max=220) == []
    (doubt,) = doubts_of_descriptors(config, clients_max=219)
    assert doubt == (
        "nbd.connections_max, tmem.connections_max: found 200 clients of NBD and 20 of tmem in all, expected at most"
        " 219, for which there are file descriptors; the rest is refused.  Raise LimitNOFILE= in the unit or ulimit -n"
    )
