"""What the log hears of the page path: how a change of the budget ended, and who does not keep what it stores."""

import logging

from config.event_kinds import EventKind, about
from config.units import human_bytes
from ramsterd.core.resize import ResizeState
from ramsterd.pagepath.effects import Resized
from ramsterd.remote.holders.reconcile import Reconciled
from ramsterd.remote.holders.trust import Distrusted, TrustedAgain

logger = logging.getLogger("ramster.peers")


def log_resized(resized: Resized) -> None:
    """Tell the log how a change of the budget ended."""
    if resized.state is ResizeState.STOPPED:
        logger.warning(
            "shrinking stopped at %s: no peer has room for the rest; the budget is %s, with %s free for writes",
            human_bytes(resized.resident_bytes), human_bytes(resized.budget_bytes),
            human_bytes(resized.budget_bytes - resized.resident_bytes),
            extra=about(EventKind.BUDGET_STOPPED, budget_bytes=resized.budget_bytes),
        )  # fmt: skip
    else:
        extra = about(EventKind.BUDGET_CHANGED, budget_bytes=resized.budget_bytes)
        logger.info("the budget is now %s", human_bytes(resized.budget_bytes), extra=extra)


def log_trust(news: Distrusted | TrustedAgain, name: str) -> None:
    """Tell the log that a peer does not keep what it stores, or does again.

    At most once for each backoff.
    """
    bad = ", ".join(f"{pages} {kind.value}" for kind, pages in news.bad.items())
    if isinstance(news, Distrusted):
        logger.warning(
            "node %s gets no new pages for %g s: it does not keep the pages that it stored (%s since the start)",
            name, news.seconds, bad, extra=about(EventKind.NODE_DISTRUSTED, node=name),
        )  # fmt: skip
    else:
        logger.info(
            "node %s gets new pages again: it keeps what it stores (before: %s)",
            name, bad, extra=about(EventKind.NODE_TRUSTED, node=name),
        )  # fmt: skip


def log_reconciled(ended: Reconciled, name: str) -> None:
    """Tell the log what a comparison with a peer found."""
    level = logging.WARNING if ended.lacking else logging.INFO
    logger.log(
        level,
        "this node and node %s have compared the copies there, after a restart:"
        " %s were dropped because nobody needs them, %s were missing",
        name, f"{ended.unknown:,}", f"{ended.missing:,}",
        extra=about(EventKind.COPIES_COMPARED, node=name, missing_pages=ended.missing),
    )  # fmt: skip
