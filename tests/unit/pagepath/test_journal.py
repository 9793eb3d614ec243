"""What the log hears of comparisons with peers."""

import logging

import pytest

from nodemanager.ids import NodeId
from ramsterd.pagepath.journal import log_reconciled
from ramsterd.remote.holders.reconcile import Reconciled


@pytest.mark.parametrize(("lacking", "level"), [(0, logging.INFO), (2, logging.WARNING)])
def test_what_a_comparison_found_is_a_warning_if_pages_were_missing_that_should_be_there(
    caplog: pytest.LogCaptureFixture, lacking: int, level: int
) -> None:
    caplog.set_level(logging.INFO)
    log_reconciled(Reconciled(NodeId(1), 100, 3, lacking), "beta")
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage() == (
        "node beta and this node agree on the copies there again, after a restart:"
        " 100 were dropped because nobody needs them, 3 were missing"
    )
