"""The source that dials most gives way."""

import pytest

from net.places import Places, source_of


def test_a_place_is_given_back_once() -> None:
    places = Places(2)
    place, displaced = places.begin("10.0.0.1 port 1")
    assert displaced is None
    assert len(places) == 1
    assert places.end(place)
    assert not places.end(place)
    assert len(places) == 0


def test_a_flood_displaces_itself_and_nobody_else() -> None:
    places = Places(4)
    member, _ = places.begin("10.0.0.1 port 1")
    flood = [places.begin(f"192.0.2.9 port {port}")[0] for port in range(3)]
    for port in range(3, 50):
        flood.append(places.begin(f"192.0.2.9 port {port}")[0])
        assert len(places) == 4
    newcomer, displaced = places.begin("10.0.0.2 port 1")
    assert displaced in flood
    assert places.end(member)
    assert places.end(newcomer)
    assert places.displaced_total == 48
    assert [places.end(each) for each in flood] == [False] * 48 + [True] * 2


def test_the_oldest_gives_way_when_all_are_alike() -> None:
    places = Places(2)
    first, _ = places.begin("10.0.0.1 port 1")
    places.begin("10.0.0.2 port 1")
    assert places.begin("10.0.0.3 port 1")[1] is first


def test_a_connection_that_asks_for_something_is_as_good_as_new() -> None:
    places = Places(2)
    first, _ = places.begin("user 0")
    second, _ = places.begin("user 0")
    places.renew(first)
    assert places.begin("user 0")[1] is second
    places.renew(second)
    assert not places.end(second), "the one that gave way has no place to renew"


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
