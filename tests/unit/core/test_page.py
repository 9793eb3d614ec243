from ramsterd.core.page import INDEX_MAX, PAGE_BYTES, ZERO_PAGE


def test_a_zero_page_is_a_page_of_zeros() -> None:
    assert len(ZERO_PAGE) == PAGE_BYTES == 4096
    assert not any(ZERO_PAGE)


def test_an_object_can_be_as_large_as_the_largest_export() -> None:
    assert (INDEX_MAX + 1) * PAGE_BYTES == 1 << 60
