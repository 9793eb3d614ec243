"""Metrics of the process: reloads of its files, the event loop, the log, the state file, the certificate."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from ramsterd.observe.frontend_metrics import by_name
from ramsterd.observe.loop_watch import BUCKETS
from ramsterd.observe.metric import by, counter, gauge, histogram, one
from ramsterd.observe.snapshot import ConfigStatistics, DaemonStatistics


def daemon_metrics(now: DaemonStatistics) -> Iterator[Metric]:
    """Yield the families."""
    # The cluster has no label: scrapers give one to each target, and would rename ours.
    yield gauge(
        "info", "Always 1: says by its labels how this node is called, and what version of ramster it runs.",
        ["node", "version"], [([now.node, now.version], 1)],
    )  # fmt: skip
    yield gauge(
        "build_info",
        "Always 1: says by its label whether the compiled inner loops of the store run, or Python's.",
        ["compiled"], [(["yes" if now.is_compiled else "no"], 1)],
    )  # fmt: skip
    yield gauge(
        "clock_seconds", "Seconds since 1970 by the clock of this node.", [],
        one(now.clock_seconds),
    )  # fmt: skip
    yield gauge("uptime_seconds", "Time since the daemon started.", [], one(now.uptime_seconds))
    yield from _config(now.config, now.known_export_changes)
    yield from _loop(now)
    yield counter(
        "observer_faults",
        "Defects of ramsterd that ended a look at health, jobs or something else that no page needs; it began again.",
        ["observer"],
        by({each.value: count for each, count in now.observers.faults_total.items()}),
    )  # fmt: skip
    yield from _log(now)
    yield from _state_file(now)
    if now.certificate_expiry_seconds is not None:
        yield gauge(
            "certificate_expiry_seconds",
            "Time until the certificate of this node expires; negative afterwards.", [],
            one(now.certificate_expiry_seconds),
        )  # fmt: skip


def _config(config: ConfigStatistics, known_export_changes: int) -> Iterator[Metric]:
    yield counter(
        "reloads", "Reloads of ramsterd.toml, certificates and keys.", [],
        one(config.reloads_total),
    )  # fmt: skip
    yield counter(
        "failed_reloads", "Reloads that found a mistake and changed nothing.", [],
        one(config.failed_reloads_total),
    )  # fmt: skip
    yield gauge(
        "last_reload_successful", "Whether the last reload succeeded; 1 before the first reload.", [],
        one(config.is_last_reload_successful),
    )  # fmt: skip
    yield gauge(
        "last_reload_success_timestamp_seconds",
        "When a reload last succeeded, or the daemon started, in seconds since 1970.", [],
        one(config.last_reload_success_timestamp_seconds),
    )  # fmt: skip
    yield gauge(
        "restart_needed_keys", "Changed keys of ramsterd.toml that need a restart.", [],
        one(len(config.needs_restart)),
    )  # fmt: skip
    yield counter(
        "export_changes", "Commands that add, remove or resize an export and were carried out.", [],
        one(config.export_changes_total),
    )  # fmt: skip
    yield counter(
        "refused_export_changes",
        "Valid commands that add, remove or resize an export and were refused; nothing changed.", [],
        one(config.refused_export_changes_total),
    )  # fmt: skip
    yield gauge(
        "waiting_export_changes",
        "Commands that add, remove or resize an export and have not begun yet (at most 16).", [],
        one(config.waiting_export_changes),
    )  # fmt: skip
    yield gauge(
        "known_export_changes",
        "Commands that add, remove or resize an export and whose outcome can be asked for (at most 64).", [],
        one(known_export_changes),
    )  # fmt: skip


def _loop(now: DaemonStatistics) -> Iterator[Metric]:
    loop = now.loop_stall
    yield histogram(
        "loop_stall_seconds", "Duration of each round of the event loop; nothing else is served meanwhile.",
        BUCKETS, loop.counts, loop.seconds_total,
    )  # fmt: skip
    yield gauge(
        "loop_stall_longest_seconds", "Duration of the longest round of the event loop.", [],
        one(loop.longest_seconds),
    )  # fmt: skip
    polling = now.polling
    yield counter(
        "polls", "Waits of the event loop that began with polling, by outcome. Hit: it heard of"
        " something before it slept. Crowded: another process wanted the core.", ["outcome"],
        by(
            {
                "hit": polling.hit_polls_total,
                "missed": polling.missed_polls_total,
                "crowded": polling.crowded_polls_total,
            }
        ),
    )  # fmt: skip
    yield counter(
        "polled_seconds", "Total time that the event loop polled.", [],
        one(polling.polled_seconds_total),
    )  # fmt: skip
    yield gauge(
        "poll_window_seconds",
        "How long the event loop polls before it sleeps, at the moment (at most"
        " poll_microseconds_max).", [],
        one(polling.poll_window_seconds),
    )  # fmt: skip


def _log(now: DaemonStatistics) -> Iterator[Metric]:
    log = now.log
    yield counter(
        "log_lines", "Log lines, by outcome. Left out: too many similar lines."
        " Dropped: nobody reads standard error.", ["outcome"],
        by({
            "queued": log.lines_total,
            "left_out": log.left_out_lines_total,
            "dropped": log.dropped_lines_total,
        }),
    )  # fmt: skip
    yield gauge("log_queued_lines", "Log lines that wait to be written.", [], one(log.queued_lines))
    yield gauge(
        "log_queued_bytes", "Size of the log lines that wait to be written.", [],
        one(log.queued_bytes),
    )  # fmt: skip
    yield counter(
        "log_failed_writes", "Writes to standard error that failed.", [],
        one(log.failed_writes_total),
    )  # fmt: skip
    yield gauge(
        "changed_log_levels", "Subsystems whose log level `ramsterctl log-level` has changed.", [],
        one(now.changed_log_levels),
    )  # fmt: skip
    yield counter(
        "events", "Events (`ramsterctl events`), by severity.", ["severity"],
        by({each.value: count for each, count in now.events.events_total.items()}),
    )  # fmt: skip
    yield gauge(
        "kept_events", "Events that `ramsterctl events` shows.", [], one(now.events.kept_events)
    )
    yield counter(
        "dropped_events", "Events that newer ones have pushed out.", [],
        one(now.events.dropped_events_total),
    )  # fmt: skip
    yield counter(
        "left_out_events", "Events that were only counted: too many similar ones.", [],
        one(now.events.left_out_events_total),
    )  # fmt: skip


def _state_file(now: DaemonStatistics) -> Iterator[Metric]:
    state = now.state_file
    names = dict.fromkeys([each.name for each in now.exports], 0)
    names |= {loss.name: 1 for loss in state.lost if loss.user is None}
    yield gauge(
        "export_lost", "Whether an export is lost: its pages ended with an earlier run, and clients are refused.",
        ["export"], by_name(names),
    )  # fmt: skip
    yield gauge(
        "lost_pools", "Persistent pools of programs whose pages ended with an earlier run.", [],
        one(sum(loss.user is not None for loss in state.lost)),
    )  # fmt: skip
    yield counter("state_writes", "Writes of the state file.", [], one(state.writes_total))
    yield counter(
        "state_failed_writes", "Writes of the state file that failed.", [],
        one(state.failed_writes_total),
    )  # fmt: skip
    yield gauge(
        "state_unwritten", "Whether the state file can't be written: first writes are refused.", [],
        one(int(bool(state.problem))),
    )  # fmt: skip
