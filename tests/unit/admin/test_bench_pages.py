import random

import pytest

from config.limits import PAGE_BYTES
from ramsterd.admin.bench_pages import PAGES_COUNT, RATIO_MIN, bench_pages
from ramsterd.core.codec import encode_page


@pytest.mark.parametrize("ratio", [RATIO_MIN, 0.3, 0.5, 0.8])
def test_pages_shrink_about_as_far_as_asked(ratio: float) -> None:
    pages = bench_pages(ratio, random.Random(1))
    assert len(set(pages)) == PAGES_COUNT
    assert {len(page) for page in pages} == {PAGE_BYTES}
    zbytes = [len(encode_page(page)[1]) for page in pages]
    assert ratio - 0.02 <= sum(zbytes) / len(zbytes) / PAGE_BYTES <= ratio + 0.03


def test_pages_of_noise_do_not_shrink() -> None:
    pages = bench_pages(1.0, random.Random(1), count=4)
    assert {len(encode_page(page)[1]) for page in pages} == {PAGE_BYTES}
