"""An address that somebody else has is named before the daemon that runs ends; what it holds itself is no reason."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.endpoint import join_endpoint
from config.lookup import NameNotFound
from config.model import DaemonConfig, NodeConfig
from config.reader import read_toml
from ramsterd.endpoints.trying import endpoints_of, why_taken
from tests.helpers.config_texts import DAEMON


def config(nbd: str = "", metrics: str = "") -> DaemonConfig:
    text = f'{DAEMON}[nbd]\nlisten = "{nbd}"\n[metrics]\nlisten = "{metrics}"\n'
    return read_toml(text.encode(), DaemonConfig, file="d", folder=Path("/etc"))


def at(port: int, address: str = "127.0.0.1") -> NodeConfig:
    return NodeConfig(number=1, name="alpha", address=address, port=port)


# Port 0 is always free.
NODE = at(0)


@pytest.fixture(params=[socket.SOCK_STREAM, socket.SOCK_DGRAM])
def taken(request: pytest.FixtureRequest) -> Iterator[int]:
    with bound(request.param) as sock:
        yield sock.getsockname()[1]


def bound(kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind is socket.SOCK_STREAM:
        sock.listen(1)
    return sock


def test_links_need_their_port_for_tcp_and_for_udp(taken: int) -> None:
    found = why_taken(config(), at(taken), [])
    assert found is not None
    assert found.startswith(
        f"can't serve links and heartbeat at 127.0.0.1:{taken} (address and port of alpha in cluster.toml): Address"
        f" already in use; `ss -ltunp 'sport = :{taken}'`"
    )


@pytest.mark.parametrize(("key", "what"), [("nbd", "NBD"), ("metrics", "metrics")])
def test_a_new_address_of_a_server_must_be_free(key: str, what: str) -> None:
    with bound() as other:
        place = join_endpoint(*other.getsockname())
        daemon = config(**{key: place})
        found = why_taken(daemon, NODE, [])
        assert found is not None
        assert found.startswith(f"can't serve {what} at {place} ({key}.listen): Address already in")
    assert why_taken(daemon, NODE, []) is None
    # Nothing stays bound.
    assert why_taken(daemon, NODE, []) is None


def test_what_the_daemon_holds_itself_is_no_reason() -> None:
    with bound() as nbd, bound() as metrics, bound() as links:
        daemon = config(join_endpoint(*nbd.getsockname()), join_endpoint(*metrics.getsockname()))
        node = at(links.getsockname()[1])
        held = endpoints_of(daemon, node, [("127.0.0.1", node.port)])
        assert [key for key, _ in held] == ["address", "nbd.listen", "metrics.listen"]
        assert why_taken(daemon, node, held) is None
        assert why_taken(daemon, node, held[:-1]) is not None


def test_a_daemon_that_has_moved_holds_its_new_place() -> None:
    with bound() as old, bound() as new:
        now = [new.getsockname()]
        moved = at(new.getsockname()[1])
        assert why_taken(config(), moved, endpoints_of(config(), moved, now)) is None
        before = at(old.getsockname()[1])
        assert why_taken(config(), before, endpoints_of(config(), before, now)) is not None


def test_of_a_name_one_address_of_this_machine_is_enough() -> None:
    def find(_: str) -> tuple[str, ...]:
        return ("198.51.100.1", "127.0.0.1")

    assert why_taken(config(), at(0, "alpha"), [], find) is None
    with bound() as other:
        port = other.getsockname()[1]
        found = why_taken(config(), at(port, "alpha"), [], find)
    assert found is not None
    assert f"at alpha:{port} (address and port of alpha in cluster.toml): Address already" in found
    found = why_taken(config(), at(0, "alpha"), [], lambda _: ("198.51.100.1",))
    assert found is not None
    assert "Cannot assign requested address" in found


def test_a_name_that_is_not_found_ends_a_start() -> None:
    def find(host: str) -> tuple[str, ...]:
        raise NameNotFound(host, "Name or service not known")

    found = why_taken(config(), at(0, "alpha"), [], find)
    assert found is not None
    assert "Name or service not known; `getent ahosts alpha`" in found


def test_what_ends_with_the_process_is_free_for_another_server_at_any_of_its_addresses() -> None:
    with bound() as metrics:
        port = metrics.getsockname()[1]
        held = [("metrics.listen", f"0.0.0.0:{port}")]
        assert why_taken(config(nbd=f"127.0.0.1:{port}"), NODE, held) is None
        held = [("metrics.listen", f"127.0.0.1:{port}")]
        assert why_taken(config(metrics=f"0.0.0.0:{port}"), NODE, held) is None


def test_what_is_handed_over_is_free_for_its_own_server_alone() -> None:
    with bound() as nbd:
        place = join_endpoint(*nbd.getsockname())
        held = [("nbd.listen", place)]
        assert why_taken(config(nbd=place), NODE, held) is None
        assert why_taken(config(metrics=place), NODE, held) is not None
