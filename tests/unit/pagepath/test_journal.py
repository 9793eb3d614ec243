"""What the log hears of the budget, of peers that do not keep what they store, and of comparisons with peers."""

import logging

import pytest

from nodemanager.ids import NodeId
from ramsterd.core.resize import ResizeState
from ramsterd.pagepath.effects import Resized
from ramsterd.pagepath.journal import log_reconciled, log_resized, log_trust
from ramsterd.remote.holders.reconcile import Reconciled
from ramsterd.remote.holders.trust import BadCopy, Distrusted, TrustedAgain


@pytest.mark.parametrize(("lacking", "level"), [(0, logging.INFO), (2, logging.WARNING)])
def test_what_a_comparison_found_is_a_warning_if_pages_were_missing_that_should_be_there(
    caplog: pytest.LogCaptureFixture, lacking: int, level: int
) -> None:
    caplog.set_level(logging.INFO)
    log_reconciled(Reconciled(NodeId(1), 100, 3, lacking), "beta")
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (
        "this node and node beta have compared the copies there, after a restart:"
        " 100 were dropped because nobody needs them, 3 were missing"
    )


@pytest.mark.parametrize(
    ("state", "resident_bytes", "level", "text"),
    [
        (ResizeState.DONE, 1 << 20, logging.INFO, "the budget is now 3 MiB"),
        (
            ResizeState.STOPPED,
            2 << 20,
            logging.WARNING,
            (
                "shrinking stopped at 2 MiB: no peer has room for the rest;"
                " the budget is 3 MiB, with 1 MiB free for writes"
            ),
        ),
    ],
)
def test_a_change_of_the_budget_ends_as_asked_or_short(
    caplog: pytest.LogCaptureFixture,
    state: ResizeState,
    resident_bytes: int,
    level: int,
    text: str,
) -> None:
    caplog.set_level(logging.INFO)
    log_resized(Resized(state, 3 << 20, resident_bytes))
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(level, text)]


@pytest.mark.parametrize(
    ("news", "level", "text"),
    [
        (
            Distrusted(NodeId(1), {BadCopy.MISSING: 3, BadCopy.DAMAGED: 1}, 40.0),
            logging.WARNING,
            (
                "node beta gets no new pages for 40 s: it does not keep the pages that it stored"
                " (3 missing, 1 damaged since the start)"
            ),
        ),
        (
            TrustedAgain(NodeId(1), {BadCopy.MISSING: 3}),
            logging.INFO,
            "node beta gets new pages again: it keeps what it stores (before: 3 missing)",
        ),
    ],
)
def test_a_peer_that_does_not_keep_pages_is_a_warning_and_one_that_does_again_is_none(
    caplog: pytest.LogCaptureFixture, news: Distrusted | TrustedAgain, level: int, text: str
) -> None:
    caplog.set_level(logging.INFO)
    log_trust(news, "beta")
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(level, text)]
