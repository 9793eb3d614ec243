import pytest

from config.endpoint import (
    HOST_NAME_BYTES_MAX,
    alternate,
    is_loopback,
    join_endpoint,
    known_addresses,
    parse_address,
    parse_host,
    split_endpoint,
)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:10809", ("127.0.0.1", 10809)),
        ("[::1]:1", ("::1", 1)),
        ("10.0.0.1:65535", ("10.0.0.1", 65535)),
    ],
)
def test_an_endpoint_is_an_ip_literal_and_a_port(text: str, endpoint: tuple[str, int]) -> None:
    assert split_endpoint(text) == endpoint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ADDRESS:PORT"),
        ("127.0.0.1", "ADDRESS:PORT"),
        ("::1:80", "ADDRESS:PORT"),
        ("127.0.0.1:-1", "ADDRESS:PORT"),
        ("127.0.0.1:123456", "ADDRESS:PORT"),
        ("[127.0.0.1]:80", "brackets around an IPv6 address only"),
        ("127.0.0.1:0", "a port from 1 to 65535"),
        ("127.0.0.1:65536", "a port from 1 to 65535"),
        ("localhost:80", "an IP address"),
        ("[]:80", "an IP address"),
        (":80", "an IP address"),
    ],
)
def test_anything_else_is_refused_by_endpoint(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_endpoint(text)


@pytest.mark.parametrize("text", ["localhost", "1.2.3", "1.2.3.4.5", "", "1" * 1000, "::1]"])
def test_names_and_broken_literals_are_not_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="an IP address"):
        parse_address(text)


@pytest.mark.parametrize("text", ["alpha", "Alpha.Example.", "a-1.b2", "1a", "10.0.0.1x", "x" * 63])
def test_a_host_name_is_known_by_its_normal_form(text: str) -> None:
    assert parse_host(text) == text.lower().removesuffix(".")


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "-a", "a-", "a..b", "a_b", "a b", "x" * 64, "é", "10.0.0.300", "1.2.3", "0x7f.1",
        "7", "a.0x1f", "alpha%eth0", "a:b", f"{'a.' * (HOST_NAME_BYTES_MAX // 2)}ab",
    ],
)  # fmt: skip
def test_what_a_lookup_would_take_for_an_address_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="an IP address"):
        parse_host(text)


def test_a_name_of_the_greatest_length_is_one() -> None:
    assert len(str(parse_host(f"{'a.' * 126}a"))) == HOST_NAME_BYTES_MAX


def test_of_names_only_localhost_is_known() -> None:
    assert is_loopback(parse_host("LOCALHOST."))
    assert not is_loopback(parse_host("alpha"))
    assert not is_loopback(parse_host("10.0.0.1"))
    assert [str(each) for each in known_addresses("localhost")] == ["127.0.0.1", "::1"]
    assert known_addresses("alpha") == ()


def test_families_alternate_and_the_first_one_begins() -> None:
    assert alternate(["::1", "::2", "::3", "10.0.0.1", "::1"]) == ("::1", "10.0.0.1", "::2", "::3")
    assert alternate(["10.0.0.1", "::1", "::2"]) == ("10.0.0.1", "::1", "::2")
    assert alternate(["10.0.0.1"]) == ("10.0.0.1",)
    assert alternate([]) == ()


@pytest.mark.parametrize("address", ["10.0.0.1", "::1", "fe80::1%eth0"])
def test_what_is_joined_is_taken_apart_again(address: str) -> None:
    assert split_endpoint(join_endpoint(address, 80)) == (address, 80)
