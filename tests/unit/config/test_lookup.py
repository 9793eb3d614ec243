"""Lookups of names: the system's answers are played, its own ones of literals and of localhost are real."""

import socket
from typing import Any

import pytest

from config.lookup import ADDRESSES_MAX, NameNotFound, address_text, look_up, socket_address


def played(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, ...]) -> None:
    """Have the system answer with these socket addresses."""

    def answer(*_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(0, 0, 0, "", where) for where in addresses]

    monkeypatch.setattr("config.lookup.socket.getaddrinfo", answer)


def test_a_literal_has_a_socket_address_at_once() -> None:
    assert socket_address("10.0.0.1", 80) == (socket.AF_INET, ("10.0.0.1", 80))
    assert socket_address("::1", 80) == (socket.AF_INET6, ("::1", 80, 0, 0))


def test_a_zone_is_the_number_of_an_interface() -> None:
    index = socket.if_nametoindex("lo")
    family, where = socket_address("fe80::1%lo", 80)
    assert (family, where) == (socket.AF_INET6, ("fe80::1", 80, 0, index))
    assert address_text(where) == "fe80::1%lo"


def test_a_literal_is_asked_for_once_and_one_with_a_zone_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    getaddrinfo = socket.getaddrinfo

    def ask(host: str, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        return getaddrinfo(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    for _ in range(2):
        assert socket_address("192.0.2.77", 80) == (socket.AF_INET, ("192.0.2.77", 80))
        assert socket_address("192.0.2.77", 81)[1] == ("192.0.2.77", 81)
        socket_address("fe80::1%lo", 80)
    assert asked == ["192.0.2.77", "192.0.2.77", "fe80::1%lo", "fe80::1%lo"]


def test_a_zone_that_is_no_interface_here_is_an_error_with_its_name() -> None:
    with pytest.raises(OSError, match="this machine has no interface nowhere0"):
        socket_address("fe80::1%nowhere0", 80)


def test_what_is_no_literal_is_never_looked_up() -> None:
    with pytest.raises(OSError, match="not known"):
        socket_address("localhost", 80)


def test_addresses_are_as_people_write_them() -> None:
    assert address_text(("10.0.0.1", 80)) == "10.0.0.1"
    assert address_text(("::1", 80, 0, 0)) == "::1"
    assert address_text(("fe80::1", 80, 0, 1 << 20)) == f"fe80::1%{1 << 20}"


@pytest.mark.parametrize("name", ["localhost", "LocalHost."])
def test_localhost_is_this_machine(name: str) -> None:
    found = look_up(name)
    assert found
    assert set(found) <= {"127.0.0.1", "::1"}


def test_localhost_never_leaves_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    played(monkeypatch, ("192.0.2.1", 0), ("127.0.0.1", 0))
    assert look_up("localhost") == ("127.0.0.1",)
    played(monkeypatch, ("192.0.2.1", 0))
    with pytest.raises(
        NameNotFound, match=r"localhost has no address here: found only 192\.0\.2\.1"
    ):
        look_up("localhost")


def test_families_alternate_and_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    sixes = [(f"fd00::{each}", 0, 0, 0) for each in range(1, 20)]
    played(monkeypatch, *sixes, ("10.0.0.1", 0))
    found = look_up("alpha")
    assert found[:3] == ("fd00::1", "10.0.0.1", "fd00::2")
    assert len(found) == ADDRESSES_MAX


def test_what_nobody_can_be_reached_at_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    useless = [("0.0.0.0", 0), ("::", 0, 0, 0), ("ff02::1", 0, 0, 0), ("fe80::1", 0, 0, 0)]  # noqa: S104  the point
    played(monkeypatch, *useless, ("10.0.0.1", 0))
    assert look_up("alpha") == ("10.0.0.1",)


def test_a_name_that_nobody_knows_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("config.lookup.socket.getaddrinfo", unknown)
    with pytest.raises(NameNotFound, match="alpha has no address here: Name or service not known"):
        look_up("alpha")
