"""What `ramsterctl status` says, line by line."""

import json
import re
from typing import Any

import pytest

from nodemanager.ids import NodeId
from ramsterd.cli.format import format_certificate, format_holders, format_node, format_status
from ramsterd.observe.snapshot import to_plain
from tests.helpers.made_statistics import NAME, NODE, made_statistics

DAY = 86_400.0


def status() -> str:
    now = json.loads(json.dumps(to_plain(made_statistics(), {NodeId(NODE): NAME})))
    return format_status(now, at=0)


def test_every_count_has_commas() -> None:
    _, *lines = status().splitlines()  # the first has the number of the node
    counts = [re.sub(r"\d{4}-\d\d-\d\d|`.*`|user \d+", "", line) for line in lines]
    assert [line for line in counts if re.search(r"\d{4}", line)] == []
    assert sum("1,00" in line for line in lines) > 15


@pytest.mark.parametrize(("is_compiled", "words"), [(True, ""), (False, " without compiled loops")])
def test_a_daemon_without_compiled_loops_says_so(words: str, *, is_compiled: bool) -> None:
    now = {"node": "n1", "number": 1, "cluster": "lab", "version": "0", "uptime_seconds": 5}
    assert format_node({**now, "is_compiled": is_compiled}).endswith(f", version 0{words}, up 5 s")
    assert format_node(now).endswith(", version 0, up 5 s")


def engine(state: str, *, is_linked: bool, pages: int = 4192) -> dict[str, Any]:
    row = {"config": {"name": "beta"}, "state": state, "is_linked": is_linked}
    return {
        "nodes": {"nodes": [row]},
        "remote": [{"node": "beta", "is_dead": False, "pages": pages}],
        "foreign": [{"node": "beta", "pages": 4096}],
    }


@pytest.mark.parametrize(
    ("state", "is_linked", "pages", "text"),
    [
        ("up", True, 4192, "4,192 pages of this node are there"),
        ("suspect", True, 4192, "4,192 pages of this node are there"),
        (
            "left", False, 4192,
            "4,192 pages of this node were there; beta has stopped, so these copies are gone",
        ),
        (
            "down", False, 4192,
            (
                "4,192 pages of this node are there, but beta has no link: they can't be read until ramsterd runs there"
                " again, with the same memory. Start ramsterd on beta; without [memory] keep there, these copies are gone"
            ),
        ),
        ("left", False, 0, "0 pages of this node are there"),
    ],
)  # fmt: skip
def test_what_a_peer_keeps_is_told_with_whether_it_can_be_read(
    state: str, is_linked: bool, pages: int, text: str
) -> None:
    assert format_holders(engine(state, is_linked=is_linked, pages=pages)) == [
        f"at beta        {text}",
        "from beta      4,096 pages of beta are here",
    ]


def test_a_peer_that_is_no_member_any_more_has_no_row() -> None:
    shown = engine("up", is_linked=True) | {"nodes": {"nodes": []}}
    assert format_holders(shown)[0] == "at beta        4,192 pages of this node are there"


def test_peers_are_in_the_order_of_their_names() -> None:
    """Which of them got pages first is no order that an operator knows."""
    peers = ("gamma", "alpha", "beta")
    shown = {
        "nodes": {"nodes": []},
        "remote": [{"node": node, "is_dead": False, "pages": 1} for node in peers],
        "foreign": [{"node": node, "pages": 1} for node in peers],
    }
    named = [text.split()[1] for text in format_holders(shown)]
    assert named == ["alpha", "beta", "gamma"] * 2


def test_the_end_of_the_certificate_is_a_date_and_whole_days() -> None:
    assert format_certificate(None, at=0) == []
    assert format_certificate(3650.9 * DAY, at=0) == [
        "tls            the certificate is valid until 1979-12-30, 3,650 days left"
    ]
    assert format_certificate(-1.5 * DAY, at=2 * DAY) == [
        "TLS            no new links: the certificate expired on 1970-01-01, 1 day ago"
    ]
