from hypothesis import given, strategies as st

from config.event_kinds import EventKind
from ramsterd.host.events.ring import EventRing, Filter, Happening, Page, Severity

UP, DOWN = EventKind.NODE_UP, EventKind.NODE_DOWN


def happening(time: float, kind: EventKind = UP, severity: Severity = Severity.INFO) -> Happening:
    return Happening(time=time, kind=kind, severity=severity, text=f"at {time:g}")


def filled(count: int, events_max: int = 5) -> EventRing:
    ring = EventRing(events_max=events_max)
    for i in range(count):
        ring.add(happening(float(i), UP if i % 2 else DOWN))
    return ring


def numbers(page: Page) -> list[int]:
    return [event.number for event in page.events]


def test_an_empty_ring_has_nothing_and_says_what_comes_first() -> None:
    page = EventRing().page(0)
    assert (page.events, page.first, page.last, page.after) == ((), 1, 0, 0)


def test_numbers_rise_and_the_oldest_go_at_the_limit() -> None:
    ring = filled(8)
    assert numbers(ring.page(0)) == [4, 5, 6, 7, 8]
    assert len(ring) == 5
    assert ring.dropped_total == 3
    assert ring.page(0).first == 4


def test_a_reader_goes_on_where_it_stopped() -> None:
    ring = filled(8)
    page = ring.page(5)
    assert numbers(page) == [6, 7, 8]
    assert ring.page(page.after).events == ()
    assert numbers(ring.page(10**40)) == []


def test_a_long_answer_comes_in_pages() -> None:
    ring = filled(8, events_max=10)
    first = ring.page(0, events_max=3)
    assert numbers(first) == [1, 2, 3]
    assert first.after < first.last
    assert numbers(ring.page(first.after, events_max=5)) == [4, 5, 6, 7, 8]


def test_a_reader_may_want_some_only() -> None:
    ring = filled(8, events_max=10)
    assert numbers(ring.page(0, Filter(kinds={UP}))) == [2, 4, 6, 8]
    assert numbers(ring.page(0, Filter(since=5.0))) == [6, 7, 8]
    page = ring.page(0, Filter(kinds=[EventKind.LINK_UP]))
    assert (page.events, page.after) == ((), 8)


def test_each_severity_is_counted() -> None:
    ring = EventRing(events_max=2)
    for severity in (Severity.ERROR, Severity.WARNING, Severity.ERROR):
        ring.add(happening(0.0, severity=severity))
    assert ring.totals == {Severity.INFO: 0, Severity.WARNING: 1, Severity.ERROR: 2}


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 8), st.integers(1, 5))
def test_a_reader_of_all_pages_has_all_that_are_kept(
    bursts: list[int], events_max: int, page_max: int
) -> None:
    """Between bursts a reader reads all there is: what it has not seen was pushed out, and it knows how many."""
    ring, after, seen, missed = EventRing(events_max=events_max), 0, 0, 0
    for burst in bursts:
        for _ in range(burst):
            ring.add(happening(0.0))
        while True:
            page = ring.page(after, events_max=page_max)
            missed += max(0, page.first - after - 1)
            seen += len(page.events)
            after = page.after
            if after == page.last:
                break
    assert seen + missed == sum(bursts)
    assert seen + missed == after
