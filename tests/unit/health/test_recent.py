from ramsterd.health.recent import WINDOW_SECONDS, Recent


def test_what_came_in_the_last_minute_counts() -> None:
    recent = Recent(0)
    assert recent.on_total(3, 100.0) == 3
    assert recent.on_total(5, 110.0) == 5
    assert recent.on_total(5, 100.0 + WINDOW_SECONDS) == 2
    assert recent.on_total(5, 110.0 + WINDOW_SECONDS) == 0
    assert recent.on_total(6, 500.0) == 1
    assert recent.on_total(6, 900.0) == 0


def test_frequent_looks_cost_no_memory() -> None:
    recent = Recent(0)
    for tenth in range(10_000):
        recent.on_total(tenth, tenth / 10)
    assert len(recent._seen) <= WINDOW_SECONDS + 2
    assert recent.on_total(10_000, 1000.0) in range(600, 621)
