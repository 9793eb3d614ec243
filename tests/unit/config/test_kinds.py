from pathlib import Path

import pytest

from config import kinds
from config.errors import Mismatch
from config.limits import NAME_BYTES_MAX
from config.memory import MemoryBound

HERE = Path("/etc/ramster")


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        (kinds.Flag(), True, True),
        (kinds.Whole(0, 9), 9, 9),
        (kinds.Size(4096, 8192), "8KiB", 8192),
        (kinds.Size(4096, 8192, zero_is_default=True), 0, 0),
        (kinds.Seconds(), 3, 3.0),
        (kinds.Seconds(), 0.5, 0.5),
        (kinds.Fraction(), 0, 0.0),
        (kinds.Fraction(), 1.0, 1.0),
        (kinds.Name(), "a" * NAME_BYTES_MAX, "a" * NAME_BYTES_MAX),
        (kinds.Name(), "0-a.b", "0-a.b"),
        (kinds.Name(may_be_empty=True), "", ""),
        (kinds.Text(5), "naïf", "naïf"),
        (kinds.Address(), "::1", "::1"),
        (kinds.Address(), "10.0.0.1", "10.0.0.1"),
        (kinds.Address(), "Alpha.example.", "Alpha.example."),
        (kinds.Address(), "fe80::1%eth0", "fe80::1%eth0"),
        (
            kinds.Endpoint(loopback_only=False, example_port=9),
            "[fe80::1%eth0]:80",
            "[fe80::1%eth0]:80",
        ),
        (kinds.Endpoint(loopback_only=True, example_port=9), "127.8.0.1:80", "127.8.0.1:80"),
        (kinds.Endpoint(loopback_only=True, example_port=9), "", ""),
        (kinds.Endpoint(loopback_only=False, example_port=9), "0.0.0.0:80", "0.0.0.0:80"),
        (kinds.File(), "cluster.toml", HERE / "cluster.toml"),
        (kinds.File(), "/elsewhere", Path("/elsewhere")),
        (kinds.Socket(40), "run/nbd.sock", HERE / "run/nbd.sock"),
        (kinds.Socket(len("/etc/ramster/s")), "s", HERE / "s"),
        (kinds.Socket(40), "", None),
        (kinds.Users(2), [], ()),
        (kinds.Users(2), ["root", 1000], ("root", 1000)),
    ],
)
def test_a_kind_reads_what_fits(kind: kinds.Kind, value: object, result: object) -> None:
    found = kind.read(value, HERE)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (kinds.Flag(), 1, "true or false"),
        (kinds.Whole(0, 9), True, "a whole number"),
        (kinds.Whole(0, 9), 1.0, "a whole number"),
        (kinds.Whole(0, 9), 10, "0 to 9"),
        (kinds.Whole(0, 9), -1, "0 to 9"),
        (kinds.Size(4096, 8192), 4095, "at least 4KiB"),
        (kinds.Size(4096, 8192), 0, "at least 4KiB"),
        (
            kinds.Size(4096, 8192),
            "16",
            "at least 4KiB; 16 means 16 bytes: write a unit, such as '4KiB'",
        ),
        (kinds.Size(4096, 8192), "16B", "at least 4KiB"),
        (
            kinds.Size(2 << 20, 1 << 39),
            16,
            "at least 2MiB; 16 means 16 bytes: write a unit, such as '64MiB'",
        ),
        (kinds.Size(4096, 8192), 8193, "at most 8KiB"),
        (kinds.Size(4096, 8192, step=4096), 4097, "a multiple of 4096 bytes"),
        (kinds.Seconds(), 0, "a positive number of seconds"),
        (kinds.Seconds(), -1.0, "a positive number of seconds"),
        (kinds.Seconds(), float("nan"), "a positive number of seconds"),
        (kinds.Seconds(), float("inf"), "a positive number of seconds"),
        pytest.param(kinds.Seconds(), 10**400, "a positive number of seconds", id="10**400"),
        (kinds.Seconds(), True, "a positive number of seconds"),
        (kinds.Seconds(), "1", "a positive number of seconds"),
        (kinds.Fraction(), 1.01, "a fraction from 0 to 1"),
        (kinds.Name(), "", "a name of a-z"),
        (kinds.Name(), "Alpha", "a name of a-z"),
        (kinds.Name(), "a_b", "a name of a-z"),
        (kinds.Name(), "-a", "a name of a-z"),
        (kinds.Name(), "a\n", "a name of a-z"),
        (kinds.Name(), "a" * (NAME_BYTES_MAX + 1), "at most 63 bytes"),
        (kinds.Name(), 5, "a text in quotes"),
        (kinds.Name(), "\ud800", "a text of whole characters"),
        (kinds.Socket(40), "\ud800", "a text of whole characters"),
        (kinds.Text(5), "naïve!", "at most 5 bytes"),
        (kinds.Text(5), "a\nb", "one line of printable text"),
        (kinds.Address(), "10.0.0.300", "an IP address"),
        (kinds.Address(), "host_1", "an IP address, or a host name of a-z"),
        (kinds.Address(), "alpha:7700", "an IP address"),
        (kinds.Address(), "", "an IP address, or a host name"),
        (kinds.Address(), "::", "the address of one machine: 0.0.0.0 and :: mean all"),
        (kinds.Address(), "0.0.0.0", "the address of one machine: 0.0.0.0 and :: mean all"),  # noqa: S104  the point
        (kinds.Address(), "fe80::1", "the interface behind a link-local address, such as 'fe80"),
        (kinds.Address(), "fd00::1%eth0", "no zone behind '%'"),
        (kinds.Address(), "fe80::1%2", "the name of an interface behind '%'"),
        (kinds.Endpoint(loopback_only=False, example_port=9), "[fe80::1]:80", "the interface"),
        (kinds.Address(), "ff02::1", "the address of one machine"),
        (kinds.Endpoint(loopback_only=True, example_port=9), "10.0.0.1:80", "a loopback address"),
        (kinds.Endpoint(loopback_only=True, example_port=9), "[::]:80", "a loopback address"),
        (kinds.Endpoint(loopback_only=False, example_port=9), "host:80", "an IP address"),
        (kinds.File(), "", "the path of a file"),
        (kinds.File(), "a\0b", "the path of a file"),
        (kinds.Socket(40), "a\0b", "the path of a socket"),
        (kinds.Socket(13), "s", "at most 13 bytes, not 14, in the whole path"),
        (kinds.Users(2), "root", "an array of user names and ids"),
        (kinds.Users(2), [1, 2, 3], "at most 2 users"),
        (kinds.Users(2), [True], "an array of user names and ids from 0 to 4294967294"),
        (kinds.Users(2), [-1], "an array of user names and ids from 0 to 4294967294"),
        (kinds.Users(2), [""], "an array of user names and ids from 0 to 4294967294"),
        (kinds.Users(2), ["a\nb"], "an array of user names and ids from 0 to 4294967294"),
        (kinds.Socket(15), "ïï", "at most 15 bytes, not 17, in the whole path"),
    ],
)
def test_a_kind_says_what_it_expected(kind: kinds.Kind, value: object, expected: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 -- the text is compared below
        kind.read(value, HERE)
    assert str(caught.value).startswith(expected)


def test_a_folder_with_strange_bytes_counts_in_bytes() -> None:
    folder = Path("/\udcff")
    assert kinds.Socket(4).read("s", folder) == folder / "s"


MACHINE = MemoryBound(limit_bytes=1000 << 20, name="the memory of this machine")
BUDGET = kinds.SizeOrShare(kinds.Size(2 << 20, 1 << 39, step=4096)).given(MACHINE)


def test_a_size_or_a_share_is_either() -> None:
    assert BUDGET.read("8MiB", HERE) == 8 << 20
    assert BUDGET.read("60%", HERE) == 600 << 20


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.1%", "at least 2MiB; it comes to 1 MiB of the memory of this machine"),
        ("101%", "more than 0% and at most 100%"),
        ("lots", "or a part of the memory such as '60%'"),
        ("1MiB", "at least 2MiB$"),
    ],
)
def test_a_share_has_the_bounds_of_its_size(value: str, expected: str) -> None:
    with pytest.raises(Mismatch, match=expected):
        BUDGET.read(value, HERE)


def test_a_share_of_unknown_memory_is_refused() -> None:
    with pytest.raises(Mismatch, match="is not known here"):
        BUDGET.given(None).read("60%", HERE)
