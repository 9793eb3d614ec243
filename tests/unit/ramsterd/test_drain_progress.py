"""When a drain is over, and what is said meanwhile."""

from ramsterd.drain_progress import OWN_SECONDS, STALL_SECONDS, DrainProgress


def said(foreign: int | None, own: int | None, *, is_reached: bool = True) -> dict[str, object]:
    return {"pages_foreign": foreign, "pages_own_elsewhere": own, "is_reached": is_reached}


def test_it_is_over_when_nothing_is_left() -> None:
    progress = DrainProgress()
    assert not progress.on_said(said(None, None), now=0)
    assert not progress.on_said(said(7, 3), now=1)
    assert progress.line == "7 pages of others are there; 3 of its own are only at peers"
    assert progress.on_said(said(0, 0), now=2)


def test_own_pages_are_waited_for_as_long_as_some_come_home() -> None:
    progress = DrainProgress()
    now = 0.0
    for own in (9, 6, 3):
        now += OWN_SECONDS - 1
        assert not progress.on_said(said(0, own), now=now)
    assert not progress.on_said(said(0, 3), now=now + OWN_SECONDS - 1)
    assert progress.on_said(said(0, 3), now=now + OWN_SECONDS)


def test_a_standstill_is_named() -> None:
    progress = DrainProgress()
    progress.on_said(said(7, 0), now=0)
    assert not progress.on_said(said(7, 0), now=STALL_SECONDS)
    assert "no change for 10 s" in progress.line
    progress.on_said(said(6, 0), now=STALL_SECONDS + 1)
    assert "no change" not in progress.line


def test_a_node_that_is_away_is_named() -> None:
    progress = DrainProgress()
    assert not progress.on_said(said(None, None, is_reached=False), now=0)
    assert "not linked" in progress.line
