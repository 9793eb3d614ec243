"""No client, stranger or peer can flood the log: each kind of line has a budget, and docs/security.md lists those that
others can cause at will.

The budget belongs to the text of a call (`ramsterd.host.logs.limiter`), so that has to be a constant.
"""

import logging
from typing import Final

from ramsterd.host.logs.handler import LogHandler
from ramsterd.host.logs.limiter import SPAN_SECONDS, Limiter
from tests.docs.pages import DOCS, rows, section
from tests.repository.log_sites import Site, sites

TABLE: Final = rows(
    section((DOCS / "security.md").read_text(), "What others can write into the log")
)
# Where requests, frames and connections of others are handled.
OF_OTHERS: Final = (
    "net/", "heartbeat/", "nodemanager/journal.py", "ramsterd/endpoints/", "ramsterd/frontends/",
    "ramsterd/admin/socket.py", "ramsterd/membership/", "ramsterd/pagepath/peers.py",
    "ramsterd/pagepath/journal.py",
)  # fmt: skip
# Of these an operator, a file, or this system alone is the cause.
OF_NOBODY_ELSE: Final = {
    "the present members are written to the cluster file",
    "the cluster file has not changed",
    "%s",
    "membership version %d, changed here: %s",
    "can't write the members to the cluster file: %s; remove the cause, then type `ramsterctl config reload`",
    "the next change of the members can't be written to the cluster file: %s; make room on that disk, or repair it",
    "the disk of the cluster file answers and has room again",
    "can't write the incarnation of this node to the state file: %s",
    "node %s: heartbeats can't be sent: %s",
    "no pages of other nodes are left here; %s",
    "shrinking stopped at %s: no peer has room for the rest; the budget is %s, with %s free for writes",
    "the budget is now %s",
}


def test_there_are_calls() -> None:
    assert len(sites()) > 90
    assert {site.path for site in sites()} > {"net/tls.py", "net/listener.py", "ramsterd/daemon.py"}


def test_every_line_has_a_constant_text() -> None:
    assert [f"{site.path}:{site.line}" for site in sites() if site.text is None] == []


def test_all_that_others_can_cause_is_in_the_table() -> None:
    caused = {
        (site.shown, site.lines_max)
        for site in sites()
        if site.path.startswith(OF_OTHERS)
        and site.method != "debug"
        and site.text not in OF_NOBODY_ELSE
    }
    listed = {(message.strip("`"), int(most.replace(",", ""))) for _, _, message, most in TABLE}
    assert listed == caused


def test_no_exception_outlives_its_line() -> None:
    assert {site.text for site in sites()} >= OF_NOBODY_ELSE


class Written(LogHandler):
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(2, is_journal=False, clock=lambda: self.now, limiter=Limiter())
        self.lines: list[str] = []

    def _say(self, text: str, level: int) -> None:
        self.lines.append(text)


def record_of(site: Site) -> logging.LogRecord:
    assert site.text is not None
    level = logging.WARNING if site.method in {"log", "exception"} else site.method.upper()
    number = level if isinstance(level, int) else logging.getLevelNamesMapping()[level]
    text = site.shown.replace("%", "%%").replace("…", "%s")
    arguments = ("x",) * text.count("%s")
    record = logging.LogRecord("ramster.x", number, "", 0, text, arguments, None)
    record.lines_max = site.lines_max
    return record


def test_a_flood_of_one_kind_costs_its_budget_and_one_line_a_minute() -> None:
    for site in sites():
        if site.path.startswith(OF_OTHERS) and site.method != "debug":
            check_flood(site)


def check_flood(site: Site) -> None:
    written = Written()
    flood = 2 * site.lines_max + 1
    for minute in range(3):
        written.now = minute * SPAN_SECONDS
        for _ in range(flood):
            written.handle(record_of(site))
    written.now = 3 * SPAN_SECONDS
    written.say_due()
    summaries = [line for line in written.lines if "left out " in line]
    where = f"{site.path}:{site.line}: {site.shown}"
    assert len(summaries) == 3, where
    assert len(written.lines) == site.lines_max + 3, where
