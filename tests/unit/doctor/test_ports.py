"""Ports are tried as a daemon would take them, and given back."""

import socket
from dataclasses import replace

import pytest

from config.model import MetricsConfig, NbdConfig, NodeConfig
from ramsterd.doctor.ports import ports_of, try_ports
from ramsterd.doctor.surroundings import Port
from tests.helpers.doctor_facts import daemon_config

NODE = NodeConfig(number=1, name="n1", address="127.0.0.1", port=7700)


def port(protocol: str, number: int, address: str = "127.0.0.1") -> Port:
    return Port(key="address of [[node]]", protocol=protocol, address=address, port=number)


def test_each_endpoint_of_the_files_is_a_port() -> None:
    daemon = replace(
        daemon_config(),
        nbd=NbdConfig(listen="127.0.0.1:10809"),
        metrics=MetricsConfig(listen="[::1]:9750"),
    )
    found = [(each.protocol, each.address, each.port) for each in ports_of(daemon, NODE, "::2")]
    assert found == [
        ("TCP", "::2", 7700), ("UDP", "::2", 7700), ("TCP", "127.0.0.1", 10809), ("TCP", "::1", 9750),
    ]  # fmt: skip
    assert len(list(ports_of(daemon_config(), NODE, "::2"))) == 2


@pytest.mark.parametrize(
    ("protocol", "kind"), [("TCP", socket.SOCK_STREAM), ("UDP", socket.SOCK_DGRAM)]
)
def test_a_port_that_is_taken_is_told_and_free_again_afterwards(
    protocol: str, kind: socket.SocketKind
) -> None:
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if protocol == "TCP":
            taken.listen()
        number = taken.getsockname()[1]
        (tried,) = try_ports([port(protocol, number)])
        assert (tried.problem, tried.is_foreign) == ("address already in use", False)
    for _ in range(2):
        assert try_ports([port(protocol, number)]) == (port(protocol, number),)


def test_an_address_of_another_machine_is_told_apart() -> None:
    (tried,) = try_ports([port("TCP", 7700, address="192.0.2.77")])
    assert tried.is_foreign
    assert tried.problem


def test_an_address_without_meaning_ends_nothing() -> None:
    (tried,) = try_ports([port("UDP", 7700, address="no address")])
    assert tried.problem
