"""When a drain is over, and what is said meanwhile."""

from ramsterd.cli.drain_progress import OWN_SECONDS, STALL_SECONDS, DrainProgress


def said(foreign: int | None, own: int | None, *, is_reached: bool = True) -> dict[str, object]:
    return {"pages_foreign": foreign, "pages_own_elsewhere": own, "is_reached": is_reached}


def test_it_is_over_when_nothing_is_left() -> None:
    progress = DrainProgress("beta")
    assert not progress.on_said(said(None, None), now=0)
    assert not progress.on_said(said(7, 3), now=1)
    assert progress.line == (
        "beta: 7 pages of other nodes are still there; 3 of its own pages are only at peers"
    )
    assert progress.news == (7, 3)
    assert progress.on_said(said(0, 0), now=2)


def test_own_pages_are_waited_for_as_long_as_some_come_home() -> None:
    progress = DrainProgress("beta")
    now = 0.0
    for own in (9, 6, 3):
        now += OWN_SECONDS - 1
        assert not progress.on_said(said(0, own), now=now)
    assert not progress.on_said(said(0, 3), now=now + OWN_SECONDS - 1)
    assert progress.on_said(said(0, 3), now=now + OWN_SECONDS)


def test_a_standstill_is_named() -> None:
    progress = DrainProgress("beta")
    progress.on_said(said(7, 0), now=0)
    assert not progress.on_said(said(7, 0), now=STALL_SECONDS)
    assert "no change for 10 s" in progress.line
    progress.on_said(said(6, 0), now=STALL_SECONDS + 1)
    assert "no change" not in progress.line


def test_what_wobbles_or_hardly_falls_stands_still() -> None:
    progress = DrainProgress("beta")
    for now, foreign in enumerate((1000, 1003, 999, 1001, 998, 995, 997, 994, 993, 992, 991)):
        assert "no change" not in progress.line
        assert not progress.on_said(said(foreign, 0), now=now)
    assert "no change for 10 s" in progress.line
    progress.on_said(said(990, 0), now=11)
    assert "no change" not in progress.line, "one in a hundred is progress"


def test_own_pages_that_wobble_are_not_waited_for() -> None:
    progress = DrainProgress("beta")
    over = [
        progress.on_said(said(0, own), now=now)
        for now, own in enumerate((100, 101, 100, 102, 100, 101, 100, 102, 100, 101, 100))
    ]
    assert over == [False] * 10 + [True]


def test_before_the_first_answer_there_is_no_line() -> None:
    progress = DrainProgress("beta")
    progress.on_said(said(None, None), now=0)
    assert progress.line == ""
    assert not progress.is_empty


def test_a_node_that_is_away_is_named() -> None:
    progress = DrainProgress("beta")
    assert not progress.on_said(said(None, None, is_reached=False), now=0)
    assert "beta has no link" in progress.line


def test_the_time_that_is_left_follows_from_the_rate_so_far() -> None:
    progress = DrainProgress("beta")
    progress.on_said(said(6000, 0), now=10)
    assert "left" not in progress.line
    progress.on_said(said(4500, 0), now=10.5)
    assert "left" not in progress.line, "too early to tell"
    progress.on_said(said(4500, 0), now=12)
    assert progress.line.endswith(
        "beta: 4,500 pages of other nodes are still there, about 6 s left"
    )
    progress.on_said(said(6500, 0), now=13)
    assert "left" not in progress.line
    progress.on_said(said(0, 7), now=14)
    assert "left" not in progress.line, "own pages may not fit"
