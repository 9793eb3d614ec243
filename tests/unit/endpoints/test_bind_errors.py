"""A reader of why an endpoint is not open knows which key to change, and what to type."""

import errno
import os
from pathlib import Path

import pytest

from config.model import DaemonConfig, NodeConfig
from config.reader import read_toml
from ramsterd.endpoints.bind_errors import explain, keys_of_endpoints
from ramsterd.endpoints.sockets import SocketPathTaken
from tests.helpers.config_texts import DAEMON

NODE = NodeConfig(number=1, name="alpha", address="::1", port=7701)
ENDPOINTS = """
[nbd]
socket = "/run/nbd.sock"
listen = "127.0.0.1:10809"
[metrics]
listen = "0.0.0.0:9750"
[control]
socket = "/run/control.sock"
"""
CONFIG = read_toml((DAEMON + ENDPOINTS).encode(), DaemonConfig, file="d", folder=Path("/etc"))
KEYS = keys_of_endpoints(CONFIG, NODE)


def failed(number: int, place: str) -> OSError:
    return OSError(number, os.strerror(number), place)


def test_each_endpoint_has_a_key() -> None:
    assert KEYS == {
        "/run/nbd.sock": "nbd.socket",
        "/run/control.sock": "control.socket",
        "127.0.0.1:10809": "nbd.listen",
        "0.0.0.0:9750": "metrics.listen",
        "[::1]:7701": "address and port of alpha in cluster.toml",
    }


@pytest.mark.parametrize(
    ("error", "told", "command"),
    [
        (
            failed(errno.EADDRINUSE, "0.0.0.0:9750"),
            " at 0.0.0.0:9750 (metrics.listen): Address already in use",
            "`ss -ltunp 'sport = :9750'` (as root) shows the program that uses it",
        ),
        (
            failed(errno.EADDRINUSE, "[::1]:7701"),
            " at [::1]:7701 (address and port of alpha in cluster.toml): Address already in use",
            "`ss -ltunp 'sport = :7701'` (as root) shows the program that uses it",
        ),
        (
            failed(errno.EADDRNOTAVAIL, "127.0.0.1:10809"),
            " at 127.0.0.1:10809 (nbd.listen): Cannot assign requested address",
            "`ip address` shows the addresses of this machine",
        ),
        (
            failed(errno.EADDRNOTAVAIL, "[::1]:7701"),
            " at [::1]:7701 (address and port of alpha in cluster.toml): Cannot assign requested address",
            (
                "`ip address` shows the addresses of this machine. If it has moved: `ramsterctl node set` at another"
                " member, then copy cluster.toml from there"
            ),
        ),
        (
            failed(errno.EACCES, "127.0.0.1:10809"),
            " at 127.0.0.1:10809 (nbd.listen): Permission denied",
            "set a higher port, or give ramsterd CAP_NET_BIND_SERVICE (AmbientCapabilities= in its unit)",
        ),
        (
            failed(errno.EACCES, "/run/nbd.sock"),
            " at /run/nbd.sock (nbd.socket): Permission denied",
            "`ls -ld /run` shows who may make a socket there",
        ),
        (
            failed(errno.ENOENT, "/run/nbd.sock"),
            " at /run/nbd.sock (nbd.socket): No such file or directory",
            "`mkdir /run` makes its folder",
        ),
        (
            SocketPathTaken(Path("/run/control.sock"), is_socket=True),
            " at /run/control.sock (control.socket): another server listens there",
            "`ss -lxp | grep /run/control.sock` (as root) shows the program",
        ),
        (
            SocketPathTaken(Path("/run/nbd.sock"), is_socket=False),
            " at /run/nbd.sock (nbd.socket): exists and is not a socket",
            "`ls -l /run/nbd.sock` shows what it is: move it away, or set another path",
        ),
    ],
)
def test_an_error_names_place_key_and_command(
    error: OSError | SocketPathTaken, told: str, command: str
) -> None:
    assert explain(error, "it", KEYS) == f"can't serve it{told}; {command}"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            failed(errno.EMFILE, "0.0.0.0:9750"),
            " at 0.0.0.0:9750 (metrics.listen): Too many open files",
        ),
        (failed(errno.EIO, "/var/lib/x"), ": /var/lib/x: Input/output error"),
        (OSError("no reason"), ": no reason"),
    ],
)
def test_an_error_that_no_command_explains_stands_alone(error: OSError, told: str) -> None:
    assert explain(error, "it", KEYS) == f"can't serve it{told}"
