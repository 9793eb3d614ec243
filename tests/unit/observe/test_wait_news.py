"""The log tells of clients that wait for nodes, again and again, and that it is over."""

import logging

from config.event_kinds import EventKind
from ramsterd.observe.news import AGAIN_SECONDS, News
from ramsterd.observe.wait_news import NEWS_SECONDS_MIN, WaitNews
from ramsterd.remote.fetch.unreachable_wait import UnreachableWait


def wait(
    *, seconds: float, pool: str = "swap0", reads: int = 12, writes: int = 0
) -> UnreachableWait:
    return UnreachableWait(
        pool=pool, is_export=True, nodes=("beta",), reads=reads, writes=writes, seconds=seconds
    )


def warning(text: str) -> News:
    return News(logging.WARNING, EventKind.WAIT_BEGAN, text, export="swap0")


def test_a_short_wait_is_no_news() -> None:
    news = WaitNews()
    assert news.on_waits([wait(seconds=NEWS_SECONDS_MIN / 2)], at=100) == []
    assert news.on_waits([], at=105) == []


def test_a_wait_that_goes_on_is_said_now_and_then_and_so_is_its_end() -> None:
    news = WaitNews()
    said = news.on_waits([wait(seconds=34)], at=100)
    assert said == [warning("export swap0 waits for node beta: 12 reads, for 34 s")]
    assert news.on_waits([wait(seconds=39)], at=105) == []
    later = news.on_waits([wait(seconds=64, writes=1)], at=100 + AGAIN_SECONDS)
    assert later == [warning("export swap0 waits for node beta: 12 reads, 1 write, for 64 s")]
    ended = news.on_waits([], at=140)
    text = "export swap0 waits for no node any more, after 74 s"
    assert ended == [News(logging.INFO, EventKind.WAIT_ENDED, text, export="swap0")]
    assert news.on_waits([], at=145) == []


def test_each_export_is_told_of_by_itself() -> None:
    news = WaitNews()
    both = [wait(seconds=10), wait(seconds=10, pool="disk")]
    assert len(news.on_waits(both, at=100)) == 2
    [ended] = news.on_waits(both[:1], at=105)
    assert "export disk waits for no node" in ended.text


def test_a_program_and_several_nodes_are_told_as_such() -> None:
    text = str(
        UnreachableWait(
            pool="1000/cache",
            is_export=False,
            nodes=("beta", "gamma"),
            reads=0,
            writes=2,
            seconds=5,
        )
    )
    assert text == "pool 1000/cache waits for nodes beta and gamma: 2 writes, for 5 s"
