"""How long an answer to a PUT is waited for."""

from ramsterd.remote.limits.put_timeout import PutTimeout


def make(put_wait: float = 5.0, request: float = 5.0) -> PutTimeout:
    return PutTimeout(put_wait_seconds_max=put_wait, request_seconds_max=request)


def test_answers_that_come_soon_leave_it_at_a_part_of_what_a_write_waits() -> None:
    put_timeout = make(put_wait=4.0)
    assert put_timeout.seconds == 1.0
    for _ in range(100):
        put_timeout.on_answer(0.01)
    assert put_timeout.seconds == 1.0


def test_slow_peers_are_waited_for_longer_and_never_longer_than_a_request_may_take() -> None:
    put_timeout = make()
    for _ in range(100):
        put_timeout.on_answer(1.0)
    assert 3.5 < put_timeout.seconds < 4.1
    for _ in range(100):
        put_timeout.on_answer(4.0)
    assert put_timeout.seconds == 5.0
    for _ in range(100):
        put_timeout.on_answer(0.0)
    assert put_timeout.seconds < 1.3


def test_a_request_that_fails_sooner_is_the_limit() -> None:
    assert make(put_wait=60.0, request=2.0).seconds == 2.0
