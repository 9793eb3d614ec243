"""Which codes hold, given the facts.  Pure: the same facts and past, the same findings."""

from collections.abc import Iterator

from ramsterd.health import (
    file_checks,
    job_checks,
    memory_checks,
    node_checks,
    page_checks,
    skew_checks,
)
from ramsterd.health.codes import Code, Finding
from ramsterd.health.facts import NO_PAST, Facts, Past

_CHECKS = {
    Code.PAGES_LOST: page_checks.pages_lost,
    Code.EXPORT_LOST: page_checks.export_lost,
    Code.PAGES_AT_RISK: page_checks.pages_at_risk,
    Code.CORRUPT_FOUND: page_checks.corrupt_found,
    Code.NODE_DOWN: node_checks.node_down,
    Code.LINK_DOWN: node_checks.link_down,
    Code.MEMBERS_DIFFER: node_checks.members_differ,
    Code.STARVED: node_checks.starved,
    Code.JOB_OVERDUE: job_checks.job_overdue,
    Code.MEMORY_FULL: memory_checks.memory_full,
    Code.MEMORY_NEARFULL: memory_checks.memory_nearfull,
    Code.MEMORY_STUCK: memory_checks.memory_stuck,
    Code.SWAP_UNSAFE: memory_checks.swap_unsafe,
    Code.NOT_KEPT: memory_checks.not_kept,
    Code.UNWRITTEN: file_checks.unwritten,
    Code.CERT_EXPIRED: file_checks.cert_expired,
    Code.CERT_EXPIRING: file_checks.cert_expiring,
    Code.CLOCK_SKEW: skew_checks.clock_skew,
    Code.VERSION_SKEW: skew_checks.version_skew,
}
assert set(_CHECKS) == set(Code)


def judge(facts: Facts, past: Past = NO_PAST) -> list[Finding]:
    """Return a finding for each code that holds, in the order of the codes."""
    return list(_findings(facts, past))


def _findings(facts: Facts, past: Past) -> Iterator[Finding]:
    for code in Code:
        finding = _CHECKS[code](facts, past)
        if finding is not None:
            assert finding.code is code
            yield finding
