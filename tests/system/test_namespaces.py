"""The hosts themselves: who reaches whom, and what is left of them."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.helpers.requirements import require_namespaces
from tests.system.daemons import wait_until
from tests.system.namespaces import Network, ip, network

pytestmark = pytest.mark.root

ECHO = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as echo:
    echo.bind((sys.argv[1], 7))
    print("ready", flush=True)
    while True:
        data, source = echo.recvfrom(100)
        echo.sendto(data, source)
"""
ASK = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as asking:
    asking.settimeout(0.3)
    try:
        asking.sendto(b"?", (sys.argv[1], 7))
        sys.exit(asking.recv(100) != b"?")
    except OSError:
        sys.exit(1)
"""


@pytest.fixture
def three() -> Iterator[Network]:
    """Three hosts, of which the first answers."""
    require_namespaces()
    with network(3) as made:
        echo = subprocess.Popen(
            [*made.inside(1), sys.executable, "-c", ECHO, made.address(1)], stdout=subprocess.PIPE
        )
        try:
            assert echo.stdout is not None
            assert echo.stdout.readline() == b"ready\n"
            yield made
        finally:
            echo.kill()
            echo.communicate()


def reaches_first(made: Network, host: int) -> bool:
    command = [*made.inside(host), sys.executable, "-c", ASK, made.address(1)]
    return subprocess.run(command, check=False).returncode == 0


def test_a_host_whose_port_is_down_reaches_nobody(three: Network) -> None:
    wait_until(lambda: reaches_first(three, 2), "2 reaches 1")
    three.cut(2)
    assert not reaches_first(three, 2)
    wait_until(lambda: reaches_first(three, 3), "3 reaches 1")
    three.heal(2)
    wait_until(lambda: reaches_first(three, 2), "2 reaches 1 again")


def test_a_cut_pair_cuts_these_two_and_nobody_else(three: Network) -> None:
    wait_until(lambda: reaches_first(three, 2), "2 reaches 1")
    three.cut_pair(1, 2)
    assert not reaches_first(three, 2)
    wait_until(lambda: reaches_first(three, 3), "3 reaches 1")
    three.heal_pair(1, 2)
    wait_until(lambda: reaches_first(three, 2), "2 reaches 1 again")


def test_nothing_is_left_after_a_failure() -> None:
    require_namespaces()

    def fail() -> None:
        with network(2) as made:
            assert ip("netns", "list").count(made.prefix) == 3
            assert "port1" in ip("-n", f"{made.prefix}switch", "link")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "port1" not in ip("link")
    assert Network(2).prefix not in ip("netns", "list")
