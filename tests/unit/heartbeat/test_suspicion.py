import math

import pytest

from heartbeat.knobs import Knobs
from heartbeat.suspicion import begin_suspicion, suspicion_seconds_min
from nodemanager.ids import NodeId

A, B, C, D = (NodeId(number) for number in range(4))


def test_confirmations_shorten_a_suspicion_down_to_its_least() -> None:
    suspicion = begin_suspicion(A, live=10, probe_seconds=1, knobs=Knobs(), now=100)
    assert suspicion.deadline(is_in_doubt=False) == 124
    assert suspicion.confirm(B)
    assert 104 < suspicion.deadline(is_in_doubt=False) < 124
    assert suspicion.confirm(C)
    assert suspicion.deadline(is_in_doubt=False) == 104
    assert suspicion.deadline(is_in_doubt=True) == 124


def test_an_accuser_counts_once_and_no_more_than_needed_count() -> None:
    suspicion = begin_suspicion(A, live=10, probe_seconds=1, knobs=Knobs(), now=0)
    assert [suspicion.confirm(node) for node in (A, B, B, C, D)] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_too_few_others_to_confirm_leave_the_least_time() -> None:
    suspicion = begin_suspicion(A, live=3, probe_seconds=1, knobs=Knobs(), now=0)
    assert suspicion.deadline(is_in_doubt=False) == 4


@pytest.mark.parametrize("confirmations", range(4))
def test_the_time_is_lifeguards_formula(confirmations: int) -> None:
    """max(Min, Max - (Max - Min) log(C + 1) / log(K + 1)), with K = 3 as in the paper."""
    knobs = Knobs(suspicion_multiplier=5)
    suspicion = begin_suspicion(A, live=100, probe_seconds=1, knobs=knobs, now=0)
    for accuser in range(1, confirmations + 1):
        assert suspicion.confirm(NodeId(accuser))
    shortest, longest = 5 * math.log10(100), 6 * 5 * math.log10(100)
    part = math.log(confirmations + 1) / math.log(4)
    expected = max(shortest, longest - (longest - shortest) * part)
    assert suspicion.deadline(is_in_doubt=False) == pytest.approx(expected)


@pytest.mark.parametrize(("live", "seconds"), [(0, 4), (1, 4), (10, 4), (100, 8), (1000, 12)])
def test_the_least_time_grows_with_the_logarithm_but_not_below_ten_nodes(
    live: int, seconds: float
) -> None:
    assert suspicion_seconds_min(live, 1, Knobs()) == seconds
