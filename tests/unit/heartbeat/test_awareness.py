from heartbeat.awareness import Awareness


def test_the_multiplier_stays_within_its_limits() -> None:
    awareness = Awareness(8)
    awareness.on_good()
    assert awareness.multiplier == 1
    awareness.on_bad(100)
    assert awareness.multiplier == 8
    awareness.on_good()
    assert awareness.multiplier == 7


def test_only_the_last_point_is_the_worst() -> None:
    awareness = Awareness(3)
    seen = [awareness.is_at_worst]
    for _ in range(3):
        awareness.on_bad()
        seen.append(awareness.is_at_worst)
    assert seen == [False, False, True, True]


def test_no_reason_to_doubt_changes_nothing() -> None:
    awareness = Awareness(8)
    awareness.on_bad(0)
    assert awareness.multiplier == 1


def test_without_local_health_nothing_is_stretched_and_nothing_is_at_its_worst() -> None:
    awareness = Awareness(1)
    awareness.on_bad(5)
    assert awareness.multiplier == 1
    assert not awareness.is_at_worst
