"""Which checks there are, and in which order.  Pure: facts in, findings out."""

from collections.abc import Iterator
from typing import Final

from config.machine import suspicious_connection_limits
from config.model import DAEMON_FILE
from config.rules import suspicious_settings
from ramsterd.doctor import memory_checks, process_checks, swap_checks
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.endpoints.descriptors import UNLIMITED, Descriptors
from ramsterd.health.wording import ask_doctor, check_config

# Connections that have not greeted, clients of the control socket and the metrics port, and files of
# the daemon itself.
OWN_DESCRIPTORS: Final = 192


def judge(facts: Facts, *, for_swap: bool) -> list[Finding]:
    """Return what every node needs, and for one that serves swap what that needs."""
    findings = list(_general(facts))
    if for_swap:
        findings += _swap(facts)
    return findings


def conditions_of_own_swap(facts: Facts) -> list[Finding]:
    """Return what must be right before this machine may swap to its own daemon.

    Only what is as it is until somebody changes it: at a boot no other node need be there yet.
    """
    return [
        memory_checks.check_limit(facts),
        *process_checks.check_protection(facts),
        memory_checks.check_reserve(facts),
        memory_checks.check_min_free(facts),
        memory_checks.check_watermark_boost(facts),
        *memory_checks.check_groups(facts),
    ]


def _general(facts: Facts) -> Iterator[Finding]:
    yield from _check_config(facts)
    yield _check_daemon(facts)
    yield memory_checks.check_limit(facts)
    yield _check_descriptors(facts)
    yield swap_checks.check_kept(facts)


def _swap(facts: Facts) -> Iterator[Finding]:
    yield swap_checks.check_own_swap(facts)
    yield from swap_checks.check_exports(facts)
    yield from process_checks.check_protection(facts)
    yield memory_checks.check_reserve(facts)
    yield swap_checks.check_pressure(facts)
    if not facts.is_own_host:
        return
    yield memory_checks.check_min_free(facts)
    yield memory_checks.check_watermark_boost(facts)
    yield from memory_checks.check_groups(facts)
    yield swap_checks.check_module(facts)
    yield swap_checks.check_units(facts)
    for device in swap_checks.our_devices(facts):
        yield from process_checks.check_helper(device)


def _check_config(facts: Facts) -> Iterator[Finding]:
    lines = suspicious_settings(facts.daemon, facts.cluster)
    for line in lines:
        key, _, rest = line.partition("found ")
        found, _, expected = rest.partition(", expected ")
        place = f" ({key.rstrip(': ')})" if key else ""
        yield Finding(
            check="config",
            state=State.WARNING,
            risk=f"a setting is probably a mistake{place}",
            found=found,
            expected=expected or "another one",
            fix=f"correct {facts.file}, then: {check_config(facts.file)}",
        )
    if not lines:
        node, cluster = facts.daemon.node, facts.cluster.name
        told = ", which the running ramsterd was started with," if _is_told(facts) else ""
        yield ok("config", f"{facts.file}{told} is right: node {node} of cluster {cluster}")


def _is_told(facts: Facts) -> bool:
    """Whether an operator would look into another file than the one that is checked."""
    return facts.is_file_of_running and facts.file != DAEMON_FILE


def _check_daemon(facts: Facts) -> Finding:
    running = facts.running
    if running is None and facts.no_answer:
        return Finding(
            check="daemon",
            state=State.WARNING,
            risk="what follows is of a start, and not of the ramsterd that runs",
            found=f"no answer at {facts.no_answer}",
            expected="the status of ramsterd",
            fix=f"{ask_doctor(facts.file)}, as root or as a user of the group of that socket",
        )
    if running is None:
        return ok("daemon", "ramsterd does not run; checked is what a start would find")
    if not running.process.is_seen:
        return Finding(
            check="daemon",
            state=State.WARNING,
            risk="limits and cgroups of ramsterd are not checked, but those of a start from here",
            found="a daemon whose process can't be seen from here",
            expected="one in /proc",
            fix=f"{ask_doctor(facts.file)}, where ramsterd runs (in the same container)",
        )
    return ok("daemon", f"ramsterd {running.version} runs and answers")


def _check_descriptors(facts: Facts) -> Finding:
    running = facts.running
    limit = facts.start.descriptors_max if running is None else running.process.descriptors_max
    descriptors = Descriptors(UNLIMITED if limit is None else limit)
    lines = suspicious_connection_limits(facts.daemon, clients_max=descriptors.clients_max)
    links = len(facts.cluster.node) + OWN_DESCRIPTORS
    if not lines and descriptors.reserved >= links:
        return ok(
            "descriptors",
            f"{descriptors.limit:,} file descriptors are enough for all clients and links",
        )
    if not lines:
        return Finding(
            check="descriptors",
            state=State.WARNING,
            risk="links to other nodes may find no file descriptor",
            found=f"{descriptors.limit:,} file descriptors, {descriptors.reserved:,} of them kept for links",
            expected=f"at least {2 * links:,}: half of them for links, the control socket and metrics",
            fix="raise LimitNOFILE= in the unit (`ulimit -n` without one)",
        )
    return Finding(
        check="descriptors",
        state=State.WARNING,
        risk="clients beyond the limit are refused",
        found=f"{descriptors.limit:,} file descriptors, {descriptors.clients_max:,} of them for clients",
        expected="one for each client of connections_max in [nbd] (of each export) and [tmem]",
        fix=f"raise LimitNOFILE= in the unit (`ulimit -n` without one), or lower connections_max in {facts.file}",
    )
