import pytest

from net.errors import LocalProtocolError
from net.pieces import check_limits, frozen, rest_of
from tests.helpers.links import ASK, LIMITS


def test_the_rest_starts_behind_what_was_sent() -> None:
    pieces = [b"abc", b"", b"def"]
    assert b"".join(rest_of(list(pieces), 0)) == b"abcdef"
    assert b"".join(rest_of(list(pieces), 3)) == b"def"
    assert b"".join(rest_of(list(pieces), 4)) == b"ef"
    assert rest_of(list(pieces), 6) == []


def test_only_pieces_that_may_change_are_copied() -> None:
    fixed, view = b"fixed", memoryview(b"view")
    kept = frozen([fixed, view])
    assert kept[0] is fixed
    assert kept[1] == b"view"
    assert type(kept[1]) is bytes


@pytest.mark.parametrize(
    ("frame_type", "count", "table_bytes", "body_bytes"),
    [(99, 0, 0, 0), (ASK, 65, 0, 0), (ASK, 0, 1025, 0), (ASK, 0, 0, 300_001)],
)
def test_what_a_peer_would_refuse_is_our_own_fault(
    frame_type: int, count: int, table_bytes: int, body_bytes: int
) -> None:
    check_limits(LIMITS, ASK, 64, 1024, 300_000)
    with pytest.raises(LocalProtocolError, match="a peer would refuse this"):
        check_limits(LIMITS, frame_type, count, table_bytes, body_bytes)
