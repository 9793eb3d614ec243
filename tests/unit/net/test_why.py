import pytest

from net.why import sort_reason
from nodemanager.states import LinkState


@pytest.mark.parametrize(
    ("reason", "sorted_as"),
    [
        ("refused: cluster 'b'", (LinkState.REFUSED_HERE, "cluster 'b'")),
        ("the peer refused this node: cluster 'b'", (LinkState.REFUSED_THERE, "cluster 'b'")),
        ("the peer refused this node: no CA", (LinkState.REFUSED_THERE, "no CA")),
        ("can't connect to x", (LinkState.UNREACHABLE, "can't connect to x")),
    ],
)
def test_the_beginning_of_a_reason_says_who_refused(
    reason: str, sorted_as: tuple[LinkState, str]
) -> None:
    assert sort_reason(reason) == sorted_as
