from nodemanager.ids import Incarnation, NodeId
from nodemanager.incarnations import FLOOR_AHEAD_MILLISECONDS_MAX
from ramsterd.membership.incarnation_floors import FLOOR_SECONDS_MIN, FloorOutcome, Floors

CLOCK = 1_000_000
OURS = Incarnation(CLOCK)
BETA, GAMMA = NodeId(2), NodeId(3)


def say(
    floors: Floors, newest: int, *, node: NodeId = BETA, is_free: bool = True, now: float = 0.0
) -> FloorOutcome:
    return floors.on_outdated(
        node,
        Incarnation(newest),
        ours=OURS,
        is_free=is_free,
        clock_milliseconds=CLOCK,
        now=now,
    )


def test_a_node_that_loses_nothing_goes_above_what_a_peer_knows() -> None:
    assert say(Floors(), CLOCK + 5) is FloorOutcome.ADOPTED


def test_a_node_that_would_lose_pages_notes_it() -> None:
    floors = Floors()
    assert say(floors, CLOCK + 5, is_free=False) is FloorOutcome.NOTED
    assert floors.statistics(ours=OURS).newest == CLOCK + 5
    assert floors.statistics(ours=Incarnation(CLOCK + 6)).newest == 0


def test_what_is_no_news_is_ignored() -> None:
    assert say(Floors(), OURS) is FloorOutcome.IGNORED
    assert say(Floors(), OURS - 1) is FloorOutcome.IGNORED


def test_one_peer_is_listened_to_now_and_then_and_each_for_itself() -> None:
    floors = Floors()
    assert say(floors, CLOCK + 5) is FloorOutcome.ADOPTED
    assert say(floors, CLOCK + 9, now=FLOOR_SECONDS_MIN - 1) is FloorOutcome.IGNORED
    assert say(floors, CLOCK + 9, node=GAMMA, now=1.0) is FloorOutcome.ADOPTED
    assert say(floors, CLOCK + 9, now=FLOOR_SECONDS_MIN) is FloorOutcome.ADOPTED


def test_what_is_too_far_ahead_is_not_believed() -> None:
    floors = Floors()
    beyond = CLOCK + FLOOR_AHEAD_MILLISECONDS_MAX
    assert say(floors, beyond + 1) is FloorOutcome.DISBELIEVED
    assert floors.statistics(ours=OURS).newest == 0
    assert say(floors, beyond, node=GAMMA) is FloorOutcome.ADOPTED


def test_outcomes_are_counted() -> None:
    floors = Floors()
    say(floors, CLOCK + 5)
    say(floors, CLOCK + 6)
    assert floors.statistics(ours=OURS).heard_total == {
        FloorOutcome.ADOPTED: 1,
        FloorOutcome.NOTED: 0,
        FloorOutcome.DISBELIEVED: 0,
        FloorOutcome.IGNORED: 1,
    }
