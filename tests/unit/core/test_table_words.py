from hypothesis import given, strategies as st

from ramsterd.core.page import INDEX_MAX
from ramsterd.core.table_words import (
    LEAF_SHIFT,
    LEVELS,
    NODES_MAX,
    is_root_of_zeros,
    pack_place,
    pack_root_of_zeros,
    unpack_place,
    unpack_root,
)

PLACES = st.tuples(st.integers(0, LEVELS - 1), st.integers(0, INDEX_MAX >> LEAF_SHIFT))


@given(place=PLACES)
def test_a_place_is_read_as_it_was_written(place: tuple[int, int]) -> None:
    assert unpack_place(pack_place(*place)) == place
    root = pack_root_of_zeros(*place)
    assert is_root_of_zeros(root)
    assert unpack_root(root) == (0, pack_place(*place))
    assert root < 1 << 64


@given(node=st.integers(0, NODES_MAX - 1))
def test_a_root_that_is_a_node_is_no_root_of_zeros(node: int) -> None:
    assert not is_root_of_zeros(node)
    assert unpack_root(node) == (node, 0)
