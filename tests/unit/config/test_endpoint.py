import pytest

from config.endpoint import parse_address, split_endpoint


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
