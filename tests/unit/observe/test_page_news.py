import logging
from dataclasses import replace
from typing import Any

from ramsterd.observe.news import AGAIN_SECONDS
from ramsterd.observe.page_news import (
    AT_RISK_SECONDS,
    NOTHING_YET,
    PageCounts,
    PageNews,
)


def counts(**values: Any) -> PageCounts:
    return replace(NOTHING_YET, **values)


def texts(news: PageNews, at: float, now: PageCounts = NOTHING_YET, **options: bool) -> list[str]:
    return [each.text for each in news.on_counts(now, at=at, **options)]


def test_while_all_is_well_nothing_is_said() -> None:
    assert texts(PageNews(), 0) == []


def test_the_first_error_is_said_at_once_and_then_counts() -> None:
    news = PageNews()
    [first] = news.on_counts(counts(nbd_errors_total=1, read_lost_total=8), at=5)
    assert first.level == logging.ERROR
    assert first.text == (
        "clients get I/O errors: NBD requests answered with EIO: 1; reads of lost pages: 8;"
        " pages that no holder sent in time: 0; FLUSH and FUA requests without enough copies: 0"
    )
    many = counts(nbd_errors_total=5267, read_lost_total=5270, unreachable_pages_total=4)
    assert texts(news, 6, many) == []
    [line] = texts(news, 5 + AGAIN_SECONDS, many)
    assert line == (
        "clients get I/O errors: NBD requests answered with EIO: 5266; reads of lost pages: 5262;"
        " pages that no holder sent in time: 4; FLUSH and FUA requests without enough copies: 0"
    )
    assert texts(news, 1000, many) == []


def test_what_tmem_reads_in_vain_is_said_too() -> None:
    assert len(texts(PageNews(), 0, counts(unreachable_pages_total=1))) == 1


def test_losses_are_said_with_what_was_lost_before() -> None:
    news = PageNews()
    assert texts(news, 0, counts(lost_pages_total=7600)) == [
        "7,600 pages are lost with their last copy; since the start: 7,600"
    ]
    assert texts(news, AGAIN_SECONDS, counts(lost_pages_total=7601)) == [
        "1 pages are lost with their last copy; since the start: 7,601"
    ]


def test_at_the_end_nothing_is_kept_back() -> None:
    news = PageNews()
    texts(news, 0, counts(lost_pages_total=1))
    assert texts(news, 1, counts(lost_pages_total=3)) == []
    assert len(texts(news, 2, counts(lost_pages_total=3), is_last=True)) == 1


def test_pages_at_risk_are_said_from_the_beginning_to_the_end() -> None:
    news = PageNews()
    assert texts(news, 0, counts(pages_at_risk=900)) == []
    begin = AT_RISK_SECONDS
    assert texts(news, begin, counts(pages_at_risk=800, rebuilt_pages_total=100)) == [
        "800 pages have fewer copies than asked; copied again so far: 100"
    ]
    assert texts(news, begin + 1, counts(pages_at_risk=700, rebuilt_pages_total=200)) == []
    assert texts(news, begin + AGAIN_SECONDS, counts(pages_at_risk=1, rebuilt_pages_total=899)) == [
        "1 pages have fewer copies than asked; copied again so far: 899"
    ]
    assert texts(news, 50, counts(rebuilt_pages_total=900)) == [
        "no page has fewer copies than asked any more, after 50 s; copied again: 900"
    ]
    assert texts(news, 51, counts(rebuilt_pages_total=900)) == []


def test_pages_that_are_lost_are_not_called_copied_again() -> None:
    news = PageNews()
    texts(news, 0, counts(pages_at_risk=900))
    texts(news, AT_RISK_SECONDS, counts(pages_at_risk=900))
    assert texts(news, 35, counts(rebuilt_pages_total=100, lost_pages_total=800)) == [
        "800 pages are lost with their last copy; since the start: 800",
        "no page has fewer copies than asked any more, after 35 s; copied again: 100, lost: 800",
    ]


def test_a_link_that_is_lost_for_a_moment_is_no_news() -> None:
    news = PageNews()
    assert texts(news, 0, counts(pages_at_risk=900)) == []
    assert texts(news, AT_RISK_SECONDS - 1) == []
    assert texts(news, 100, counts(pages_at_risk=900)) == [], "it begins anew"


def test_nothing_is_over_while_pages_at_risk_are_still_counted() -> None:
    news = PageNews()
    texts(news, 0, counts(pages_at_risk=900))
    texts(news, AT_RISK_SECONDS, counts(pages_at_risk=900))
    assert texts(news, 5, replace(NOTHING_YET, is_counting_risk=True)) == []
    assert len(texts(news, 6, counts())) == 1


def test_damaged_pages_are_said_and_then_counted() -> None:
    news = PageNews()
    [first] = news.on_counts(counts(damaged_pages_total=1), at=0)
    assert first.text == (
        "1 page had a wrong checksum, here or from a peer, and another copy is used if there is one;"
        " since the start: 1. Check the memory of this machine"
    )
    assert texts(news, 5, counts(damaged_pages_total=3)) == []
    [later] = texts(news, AGAIN_SECONDS, counts(damaged_pages_total=4))
    assert later.startswith("3 pages had a wrong checksum")
