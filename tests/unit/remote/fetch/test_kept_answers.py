"""Kept answers: each page is taken once, and is the one that came."""

from hypothesis import given, strategies as st

from ramsterd.remote.fetch.kept_answers import KeptAnswer, KeptAnswers
from ramsterd.remote.fetch.trend import Ahead, Trend

SERIALS = st.integers(1, 30)


def zpage_of(serial: int) -> bytes:
    return bytes([serial]) * (serial % 5 + 1)


def answer_of(serials: list[int]) -> KeptAnswer:
    zpages = [zpage_of(serial) for serial in serials]
    ahead = Ahead(Trend(0, 1), 0, len(serials), 0)
    body = memoryview(b"".join(zpages))
    return KeptAnswer(ahead, serials, serials, list(map(len, zpages)), body, 0.0)


@given(
    st.lists(SERIALS, unique=True, min_size=1),
    st.integers(1, 5),
    st.lists(st.lists(SERIALS, unique=True, min_size=1), max_size=8),
    st.integers(0, 30),
)
def test_whatever_is_read_each_page_is_taken_once(
    came: list[int], answers: int, reads: list[list[int]], unkept: int
) -> None:
    kept = KeptAnswers()
    there = set[int]()
    for place in range(answers):
        serials = came[place::answers]
        mine = [serial for serial in serials if serial != unkept]
        if mine:
            kept.keep(answer_of(serials), mine)
            there.update(mine)
    for serials in reads:
        at = 0
        while at < len(serials):
            run = kept.take_run(serials, at)
            assert (run is None) == (serials[at] not in there)
            taken = serials[at : at + 1] if run is None else serials[at : at + len(run.packed)]
            if run is not None:
                assert run.packed == [len(zpage_of(serial)) for serial in taken]
                assert bytes(run.zpages) == b"".join(map(zpage_of, taken))
                there.difference_update(taken)
            at += len(taken)
        assert kept.by_serial.keys() == there
        kept.check_invariants()
    assert bool(kept.answers()) == bool(there)


def test_a_run_of_one_answer_is_taken_at_once() -> None:
    kept = KeptAnswers()
    kept.keep(answer_of([3, 4, 5, 6]), [3, 4, 5, 6])
    run = kept.take_run([9, 4, 5, 7], 1)
    assert run is not None
    assert len(run.packed) == 2
    assert kept.by_serial.keys() == {3, 6}
