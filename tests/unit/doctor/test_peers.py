"""Other nodes are looked at over real sockets, and through a daemon that is made up."""

import errno
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from config.model import ClusterConfig, NodeConfig
from ramsterd.asking.self_report import cluster_digest
from ramsterd.doctor import local_daemon, path_mtu, peers, reaching
from ramsterd.doctor.local_daemon import NoAnswer, ask
from ramsterd.doctor.path_mtu import Path as NetworkPath, look_at_path
from ramsterd.doctor.peers import look_at_cluster
from ramsterd.doctor.reaching import connect, reach_of, resolve
from ramsterd.doctor.surroundings import Cluster, Reach
from ramsterd.observe.snapshot import to_plain
from tests.helpers.clusters import cluster_of
from tests.helpers.doctor_facts import daemon_config
from tests.helpers.doctor_surroundings import OWN, SIGHT

LOOPBACK = "127.0.0.1"


@contextmanager
def listening() -> Iterator[int]:
    """Listen at a port of loopback."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with listening() as port:
        return port


def cluster(*ports: int) -> ClusterConfig:
    """Return node0 and others at these ports."""
    nodes = [
        replace(node, port=port)
        for node, port in zip(cluster_of(len(ports) + 1).node, (closed_port(), *ports), strict=True)
    ]
    return replace(cluster_of(1), node=tuple(nodes))


@contextmanager
def answering(path: Path, answers: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Serve a control socket: `answers` has a result, or an exception, by command."""
    asked: list[dict[str, Any]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer(client: socket.socket) -> None:
        with client, client.makefile("rb") as lines:
            request = json.loads(lines.readline())
            asked.append(request)
            result = answers[request["command"]]
            if isinstance(result, Exception):
                client.sendall(json.dumps({"ok": False, "error": str(result)}).encode() + b"\n")
            elif isinstance(result, bytes):
                client.sendall(result)
            else:
                client.sendall(json.dumps({"ok": True, "result": result}).encode() + b"\n")

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            answer(client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def row(node: NodeConfig, *, is_linked: bool) -> dict[str, Any]:
    return {
        "config": to_plain(node), "state": "up", "is_linked": is_linked, "link": "linked",
        "link_reason": "", "heartbeat_seconds": 0.5,
    }  # fmt: skip


def look(config: ClusterConfig, control: Path | None = None) -> Cluster:
    return look_at_cluster(
        daemon_config(), config, control=control, is_running=control is not None,
        clock=lambda: OWN.clock_seconds - 12.0,
    )  # fmt: skip


def test_before_a_start_each_port_is_tried() -> None:
    with listening() as port:
        found = look(cluster(port, closed_port()))
    assert [peer.reach for peer in found.peers] == [Reach.CONNECTED, Reach.REFUSED]
    assert [port.problem for port in found.ports] == ["", ""]
    assert (found.is_running, found.own) == (False, None)
    assert all(peer.is_dialled is False for peer in found.peers)
    assert all(peer.is_path_open for peer in found.peers)
    assert all((peer.path_mtu or 0) >= 1280 for peer in found.peers), "loopback takes much"


def test_linked_peers_are_asked_through_the_daemon_and_not_connected_to(tmp_path: Path) -> None:
    config = cluster(closed_port(), closed_port())
    own = replace(OWN, cluster_digest=cluster_digest(config))
    said = {"ok": True, "result": to_plain(replace(own, sees=SIGHT))}
    answers: dict[str, Any] = {
        "nodes": [row(node, is_linked=node.name == "node1") for node in config.node],
        "self-report": to_plain(own),
        "ask": {"node": "node1", "answer": json.dumps(said)},
    }
    control = tmp_path / "c"
    with answering(control, answers) as asked:
        found = look(config, control)
    linked, cut = found.peers
    assert (linked.reach, cut.reach) == (Reach.LINKED, Reach.REFUSED)
    assert linked.report == replace(own, sees=SIGHT)
    assert linked.skew_seconds == pytest.approx(12.0, abs=5.0)
    assert 0 <= linked.uncertainty_seconds < 5
    assert (found.own, found.edited) == (own, "")
    assert asked[-1] == {
        "command": "ask",
        "node": "node1",
        "request": {"command": "self-report", "for": "node0"},
    }
    assert all(not port.problem for port in found.ports), "those of a daemon are not tried"


def test_a_peer_that_does_not_answer_says_why(tmp_path: Path) -> None:
    config = cluster(closed_port())
    answers: dict[str, Any] = {
        "nodes": [row(node, is_linked=True) for node in config.node],
        "self-report": to_plain(OWN),
        "ask": ValueError("node node1 runs a ramsterd that answers no other nodes"),
    }
    with answering(tmp_path / "c", answers):
        (peer,) = look(config, tmp_path / "c").peers
    assert peer.report is None
    assert peer.no_report == "node node1 runs a ramsterd that answers no other nodes"


def test_a_file_that_was_changed_by_hand_is_told_with_the_difference(tmp_path: Path) -> None:
    config = cluster(closed_port())
    answers: dict[str, Any] = {
        "nodes": [row(node, is_linked=False) for node in config.node],
        "self-report": to_plain(replace(OWN, cluster_digest=cluster_digest(config))),
    }
    first, second = config.node
    changed = replace(config, node=(first, replace(second, zone="rack2")))
    timers = replace(config, timers=replace(config.timers, idle_seconds=60.0))
    with answering(tmp_path / "c", answers):
        assert look(changed, tmp_path / "c").edited == "zone of node1 (1) is 'rack2', was ''"
        assert look(timers, tmp_path / "c").edited == "other settings than members"


@pytest.mark.parametrize("bad", [ValueError("found command"), [{}], "x", {"a": 1}])
def test_a_daemon_of_another_version_leaves_what_can_be_seen_from_here(
    tmp_path: Path, bad: Any
) -> None:
    with answering(tmp_path / "c", {"nodes": bad, "self-report": bad}), listening() as port:
        found = look(cluster(port), tmp_path / "c")
    assert (found.own, found.peers[0].row, found.peers[0].reach) == (None, None, Reach.CONNECTED)


def test_ports_of_a_daemon_that_does_not_answer_are_not_tried() -> None:
    with listening() as port:
        config = cluster()
        taken = replace(config, node=(replace(config.node[0], port=port),))
        found = look_at_cluster(
            daemon_config(), taken, control=None, is_running=False, may_have_ports=True
        )
    assert [port.problem for port in found.ports] == ["", ""]


def test_all_takes_no_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> tuple[Reach, str]:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(peers, "connect", never)
    monkeypatch.setattr(peers, "LOOK_SECONDS_MAX", 0.2)
    found = look(cluster(1, 2))
    assert {peer.reach for peer in found.peers} == {Reach.NOT_TRIED}


async def test_a_name_is_resolved_and_one_that_is_none_is_told() -> None:
    node = NodeConfig(number=1, name="n1", address="127.0.0.1")
    assert await resolve(node) == ("127.0.0.1", "")
    address, reason = await resolve(replace(node, address="no such host"))
    assert address == ""
    assert reason


async def test_a_name_server_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object, **__: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(trio.socket, "getaddrinfo", never)
    monkeypatch.setattr(reaching, "RESOLVE_SECONDS_MAX", 0.01)
    _, reason = await resolve(NodeConfig(number=1, name="n1", address="a"))
    assert reason.startswith("no answer of the name server")


@pytest.mark.parametrize(
    ("number", "reach"),
    [
        (errno.ECONNREFUSED, Reach.REFUSED),
        (errno.ETIMEDOUT, Reach.SILENT),
        (errno.EHOSTUNREACH, Reach.NO_ROUTE),
        (errno.ENETUNREACH, Reach.NO_ROUTE),
    ],
)
def test_an_error_of_the_kernel_says_how_far_a_connection_came(number: int, reach: Reach) -> None:
    assert reach_of(OSError(number, "x")) is reach


async def test_a_peer_that_drops_everything_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "CONNECT_SECONDS_MAX", 0.05)
    # A backlog that is full answers no SYN.
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind((LOOPBACK, 0))
        server.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        assert await connect(LOOPBACK, server.getsockname()[1]) == (Reach.SILENT, "")


async def test_an_address_that_no_packet_can_be_sent_to_tells_nothing() -> None:
    for address in ("255.255.255.255", "ff02::1%9999"):
        assert await look_at_path(address) == NetworkPath()


async def test_a_host_that_answers_no_packet_tells_no_more_than_the_kernel_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(path_mtu, "ANSWER_SECONDS_MAX", 0.01)
    # Somebody listens, and says nothing.
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind((LOOPBACK, 0))
        monkeypatch.setattr(path_mtu, "_DISCARD_PORT", silent.getsockname()[1])
        path = await look_at_path(LOOPBACK)
    assert (path.mtu is not None, path.is_open) == (True, None)


async def test_a_host_that_answers_small_packets_only_is_behind_a_way_that_drops_large_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(path_mtu, "ANSWER_SECONDS_MAX", 0.5)
    with trio.socket.socket(type=socket.SOCK_DGRAM) as echo:
        await echo.bind((LOOPBACK, 0))
        monkeypatch.setattr(path_mtu, "_DISCARD_PORT", echo.getsockname()[1])

        async def answer_small() -> None:
            while True:
                data, source = await echo.recvfrom(1 << 16)
                if len(data) == 1:
                    await echo.sendto(data, source)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_small)
            path = await look_at_path(LOOPBACK)
            nursery.cancel_scope.cancel()
    assert path.is_open is False


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ValueError("it is busy"), "it is busy"),
        (b"what?\n", "is not ramsterd"),
        (b"{}\n", "is not ramsterd"),
        (b"half", "no answer within"),
    ],
)
async def test_what_a_control_socket_says_is_a_result_or_a_reason(
    tmp_path: Path, answer: object, words: str
) -> None:
    with answering(tmp_path / "c", {"status": answer}), pytest.raises(NoAnswer, match=words):
        await ask(tmp_path / "c", {"command": "status"})


async def test_nobody_and_silence_are_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoAnswer, match="No such file"):
        await ask(tmp_path / "none", {})
    monkeypatch.setattr(local_daemon, "ANSWER_SECONDS_MAX", 0.05)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "silent"))
        server.listen()
        with pytest.raises(NoAnswer, match="no answer within"):
            await ask(tmp_path / "silent", {})
