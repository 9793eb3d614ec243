import signal
from collections.abc import Iterator

import pytest

from ramsterd.demo.stopping import Interrupted, Stopping

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


@pytest.fixture
def stopping() -> Iterator[Stopping]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stopping = Stopping()
    stopping.install()
    yield stopping
    stopping.ignore()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts(stopping: Stopping, number: signal.Signals) -> None:
    with pytest.raises(Interrupted, match=number.name):
        signal.raise_signal(number)


def test_a_signal_waits_for_the_end_of_a_held_block(stopping: Stopping) -> None:
    acquired = []

    def acquire() -> None:
        with stopping.held():
            signal.raise_signal(signal.SIGTERM)
            acquired.append(1)
        acquired.append(2)

    with pytest.raises(Interrupted, match="SIGTERM"):
        acquire()
    assert acquired == [1]


def test_a_held_block_that_fails_raises_its_own_error(stopping: Stopping) -> None:
    def fail() -> None:
        with stopping.held():
            signal.raise_signal(signal.SIGTERM)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGALRM)


def test_a_signal_that_was_swallowed_insists(stopping: Stopping) -> None:
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    assert signal.getitimer(signal.ITIMER_REAL) != (0, 0)
    with pytest.raises(Interrupted, match="SIGINT"):
        signal.raise_signal(signal.SIGALRM)


def test_clean_up_is_not_interrupted_but_the_signal_is_not_forgotten(stopping: Stopping) -> None:
    stopping.ignore()
    signal.raise_signal(signal.SIGINT)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    with pytest.raises(Interrupted, match="SIGINT"):
        stopping.raise_again()


def test_without_a_signal_nothing_is_raised_again(stopping: Stopping) -> None:
    stopping.ignore()
    stopping.raise_again()
