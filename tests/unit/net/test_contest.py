import gc
import weakref

from net.contest import Contest


def test_all_who_wait_hear_of_the_end() -> None:
    told: list[str] = []
    present, one, other = Contest(), Contest(), Contest()
    one.enter(present, lambda: told.append("one"))
    other.enter(present, lambda: told.append("other"))
    present.on_ended()
    assert told == ["one", "other"]


def test_one_that_waits_no_more_is_not_told_and_not_kept() -> None:
    told: list[str] = []
    present, gone = Contest(), Contest()
    gone.enter(present, lambda: told.append("gone"))
    gone.leave()
    gone.leave()
    present.on_ended()
    assert told == []
    assert not present._contenders


def test_one_may_wait_on_another_after_the_first() -> None:
    told: list[str] = []
    first, second, contender = Contest(), Contest(), Contest()
    contender.enter(first, lambda: told.append("first"))
    contender.enter(second, lambda: told.append("second"))
    first.on_ended()
    assert told == []
    second.on_ended()
    assert told == ["second"]


def test_a_link_that_waited_is_free_when_it_waits_no_more() -> None:
    class Owner:
        def __init__(self) -> None:
            self.contest = Contest()

        def on_present_ended(self) -> None:
            pass

    present, owner = Contest(), Owner()
    owner.contest.enter(present, owner.on_present_ended)
    owner.contest.leave()
    watched = weakref.ref(owner)
    gc.disable()
    try:
        del owner
        assert watched() is None
    finally:
        gc.enable()
