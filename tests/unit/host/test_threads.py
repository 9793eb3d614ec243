import pytest
import trio

from ramsterd.host.threads import ThreadRefused, run_in_thread, start_thread
from tests.helpers.no_threads import no_threads


def fail() -> None:
    raise RuntimeError("can't start new thread of a novel")


async def test_a_refused_thread_is_told_as_such() -> None:
    assert await run_in_thread(lambda: 5) == 5
    with no_threads(), pytest.raises(ThreadRefused, match=r"raise TasksMax="):
        await run_in_thread(lambda: 5)
    # The limiter has its token back, however often.
    with no_threads():
        for _ in range(2 * int(trio.to_thread.current_default_thread_limiter().total_tokens)):
            with pytest.raises(ThreadRefused):
                await run_in_thread(lambda: 5)
    assert await run_in_thread(lambda: 6) == 6


async def test_what_the_work_raises_is_its_own() -> None:
    with pytest.raises(RuntimeError, match="of a novel"):
        await run_in_thread(fail)


def test_a_call_from_outside_of_trio_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="async context"):
        run_in_thread(fail).send(None)


def test_a_refused_thread_that_is_to_last_is_told_as_such() -> None:
    with no_threads(), pytest.raises(ThreadRefused):
        start_thread(fail, "novel")
    came: list[int] = []
    start_thread(lambda: came.append(1), "short").join(10)
    assert came == [1]
