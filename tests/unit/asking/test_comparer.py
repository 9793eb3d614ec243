"""Which peer is asked next, and what is known of its version and clock."""

from dataclasses import replace

import pytest

from nodemanager.ids import Incarnation, NodeId
from ramsterd.asking.comparer import (
    ASK_AGAIN_SECONDS,
    ASK_SOON_SECONDS,
    REPORT_SECONDS_MAX,
    SKEW_SECONDS_CERTIFICATES,
    SKEW_SECONDS_MAX,
    Comparer,
    PeerReport,
    Process,
    skew_of,
)
from ramsterd.provision.ca import BACKDATED
from tests.helpers.self_reports import REPORT

BETA, GAMMA = NodeId(2), NodeId(3)
FIRST: Process = (Incarnation(1), 0)
SECOND: Process = (Incarnation(1), 1)
SAID = PeerReport(version="1.2.0", clock_skew_seconds=0.1)


def comparer(now: float = 0.0) -> Comparer:
    made = Comparer()
    made.on_links({BETA: FIRST, GAMMA: FIRST}, now)
    return made


def test_each_peer_is_asked_in_its_turn_and_again_after_a_while() -> None:
    made = comparer()
    for node in (BETA, GAMMA):
        assert made.next_node((BETA, GAMMA), 1.0) == node
        made.on_report(node, SAID, 1.0)
    assert made.next_node((BETA, GAMMA), 1.0) is None
    assert made.next_node((BETA, GAMMA), 1.0 + ASK_AGAIN_SECONDS) == BETA
    assert made.next_node((GAMMA,), 1.0 + ASK_AGAIN_SECONDS) == GAMMA, "without a link nobody asks"


def test_a_new_process_is_asked_at_once_and_what_the_last_one_said_is_gone() -> None:
    made = comparer()
    made.on_report(BETA, SAID, 1.0)
    made.on_links({BETA: SECOND, GAMMA: FIRST}, 2.0)
    assert made.reports(2.0) == {}
    made.on_no_report(GAMMA, 2.0)
    assert made.next_node((BETA, GAMMA), 2.0) == BETA


def test_a_clock_that_differs_is_asked_for_again_soon() -> None:
    made = comparer()
    made.on_report(BETA, replace(SAID, clock_skew_seconds=-60.0), 1.0)
    made.on_report(GAMMA, SAID, 1.0)
    assert made.next_node((BETA, GAMMA), 1.0 + ASK_SOON_SECONDS) == BETA


def test_what_a_node_said_outlives_its_link_for_a_while() -> None:
    made = comparer()
    made.on_report(BETA, SAID, 1.0)
    made.on_links({GAMMA: FIRST}, 2.0)
    assert made.reports(2.0) == {BETA: SAID}
    assert made.reports(1.0 + REPORT_SECONDS_MAX) == {}
    made.on_links({GAMMA: FIRST}, 1.0 + REPORT_SECONDS_MAX)
    made.on_report(BETA, SAID, 1.0 + REPORT_SECONDS_MAX)
    assert made.reports(1.0 + REPORT_SECONDS_MAX) == {}, "nobody knows it any more"
    made.on_no_report(BETA, 1.0)


def test_an_answer_that_took_long_proves_little() -> None:
    report = replace(REPORT, clock_seconds=1000.0)
    found = skew_of(report, asked_at=1.0, answered_at=9.0, clock_seconds=996.0)
    assert found == (8.0, 4.0)
    assert not PeerReport(
        version="1", clock_skew_seconds=8.0, clock_uncertainty_seconds=4.0
    ).is_skewed
    assert PeerReport(version="1", clock_skew_seconds=9.5, clock_uncertainty_seconds=4.0).is_skewed
    assert PeerReport(version="1", clock_skew_seconds=-9.5, clock_uncertainty_seconds=4.0).is_skewed
    assert not PeerReport(version="").is_skewed, "nobody asked"


def test_the_border_for_certificates_is_that_of_their_ca() -> None:
    assert pytest.approx(BACKDATED.total_seconds()) == SKEW_SECONDS_CERTIFICATES
    assert SKEW_SECONDS_MAX < SKEW_SECONDS_CERTIFICATES
