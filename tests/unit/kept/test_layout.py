import sys

import pytest

from ramsterd.kept.layout import LAYOUT_VERSION, layout_hash


@pytest.mark.skipif(sys.byteorder == "big", reason="the number is that of little-endian machines")
def test_items_that_look_different_need_a_new_layout_version() -> None:
    assert (LAYOUT_VERSION, layout_hash()) == (1, 0xA3DD1D540768ACA4)
