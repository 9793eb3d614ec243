from ramsterd.observe.drain_news import DrainNews


def said(news: DrainNews, at: float, pages: int, *, is_draining: bool = True) -> list[str]:
    found = news.on_counts(is_draining=is_draining, foreign_pages=pages, at=at)
    return [f"{each.kind.value}: {each.text}" for each in found]


def test_the_beginning_and_the_end_are_said_once() -> None:
    news = DrainNews()
    assert said(news, 0, 5, is_draining=False) == []
    assert said(news, 10, 1500) == [
        "drain_began: this node drains: it gives back 1,500 pages of other nodes"
    ]
    assert said(news, 15, 700) == []
    assert said(news, 22, 0) == [
        "drain_ended: the drain of this node has ended after 12 s: it has no pages of other nodes"
    ]
    assert said(news, 27, 0) == []
    assert said(news, 30, 0, is_draining=False) == []


def test_a_node_without_pages_is_empty_at_once() -> None:
    assert len(said(DrainNews(), 0, 0)) == 2


def test_pages_that_came_after_the_end_have_an_end_of_their_own() -> None:
    news = DrainNews()
    said(news, 0, 0)
    assert said(news, 5, 3) == []
    assert len(said(news, 9, 0)) == 1


def test_a_drain_that_an_operator_ends_is_cancelled() -> None:
    news = DrainNews()
    said(news, 0, 8)
    assert said(news, 5, 1, is_draining=False) == [
        "drain_ended: the drain of this node is cancelled: it still has 1 page of other nodes"
    ]
    assert said(news, 6, 1, is_draining=False) == []
