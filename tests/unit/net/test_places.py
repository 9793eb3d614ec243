"""Whoever knocks most gives way."""

import pytest

from net.greetings import Greetings, source_of


def test_a_place_is_given_back_once() -> None:
    greetings = Greetings(2)
    greeting, displaced = greetings.begin("10.0.0.1 port 1")
    assert displaced is None
    assert len(greetings) == 1
    assert greetings.end(greeting)
    assert not greetings.end(greeting)
    assert len(greetings) == 0


def test_a_flood_displaces_itself_and_nobody_else() -> None:
    greetings = Greetings(4)
    member, _ = greetings.begin("10.0.0.1 port 1")
    flood = [greetings.begin(f"192.0.2.9 port {port}")[0] for port in range(3)]
    for port in range(3, 50):
        flood.append(greetings.begin(f"192.0.2.9 port {port}")[0])
        assert len(greetings) == 4
    newcomer, displaced = greetings.begin("10.0.0.2 port 1")
    assert displaced in flood
    assert greetings.end(member)
    assert greetings.end(newcomer)
    assert greetings.displaced_total == 48
    assert [greetings.end(each) for each in flood] == [False] * 48 + [True] * 2


def test_the_oldest_gives_way_when_all_are_alike() -> None:
    greetings = Greetings(2)
    first, _ = greetings.begin("10.0.0.1 port 1")
    greetings.begin("10.0.0.2 port 1")
    assert greetings.begin("10.0.0.3 port 1")[1] is first


@pytest.mark.parametrize(
    ("where", "source"),
    [
        ("10.0.0.1 port 7", "10.0.0.1"),
        ("::ffff:10.0.0.1 port 7", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6 port 7", "2001:db8:1:2::/64"),
        ("fe80::1%eth0 port 7", "fe80::/64"),
        ("an unknown address", "an unknown address"),
    ],
)
def test_a_host_is_one_source(where: str, source: str) -> None:
    assert source_of(where) == source
