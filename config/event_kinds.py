"""What may happen to a node: the kinds of events that `ramsterctl events` shows.

An event is a line of the log with a kind: `logger.info("node %s is up", name, extra=about(
EventKind.NODE_UP, node=name))` logs it, and `ramsterd.host.events` remembers it with the same text.
So there is one place and one text for both.  docs/events.md explains each kind; a test holds the
two together.  Kinds are only added: operators filter by them.
"""

from enum import StrEnum, unique
from typing import Final

# What the fields of an event may not be called: the log line has these already.
RESERVED_FIELDS: Final = frozenset({"time", "level", "subsystem", "message", "traceback", "event"})


@unique
class EventKind(StrEnum):
    """The kinds, by what they are about."""

    # This daemon.
    DAEMON_STARTED = "daemon_started"
    DAEMON_STOPPING = "daemon_stopping"
    DAEMON_RESTARTING = "daemon_restarting"
    DAEMON_PAUSED = "daemon_paused"
    OBSERVER_FAILED = "observer_failed"
    CLIENTS_KEPT = "clients_kept"
    LOG_LEVEL_CHANGED = "log_level_changed"
    # Its pages, from the last run.
    PAGES_ATTACHED = "pages_attached"
    PAGES_GIVEN_UP = "pages_given_up"
    # Its files.
    CONFIG_RELOADED = "config_reloaded"
    CONFIG_PENDING = "config_pending"
    CONFIG_REFUSED = "config_refused"
    CERTIFICATE_RELOADED = "certificate_reloaded"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    CERTIFICATE_EXPIRED = "certificate_expired"
    HEARTBEAT_KEY_RELOADED = "heartbeat_key_reloaded"
    STATE_UNWRITTEN = "state_unwritten"
    STATE_WRITTEN = "state_written"
    # Nodes and links.
    NODE_UP = "node_up"
    NODE_SUSPECT = "node_suspect"
    NODE_CLEARED = "node_cleared"
    NODE_DRAINING = "node_draining"
    NODE_DOWN = "node_down"
    NODE_LEFT = "node_left"
    NODE_RESTARTED = "node_restarted"
    LINK_UP = "link_up"
    LINK_CLOSED = "link_closed"
    LINK_LOST = "link_lost"
    LINK_FAILED = "link_failed"
    NAME_NOT_FOUND = "name_not_found"
    NAME_FOUND = "name_found"
    LISTEN_FAILED = "listen_failed"
    LISTEN_MOVED = "listen_moved"
    # Members.
    MEMBERS_CHANGED = "members_changed"
    MEMBERS_DIFFER = "members_differ"
    MEMBERS_UNWRITTEN = "members_unwritten"
    MEMBERS_WRITTEN = "members_written"
    MEMBERS_UNWRITABLE = "members_unwritable"
    MEMBERS_WRITABLE = "members_writable"
    NODE_REMOVED = "node_removed"
    DRAIN_BEGAN = "drain_began"
    DRAIN_ENDED = "drain_ended"
    # Long work, but drains.
    JOB_BEGAN = "job_began"
    JOB_ENDED = "job_ended"
    JOB_OVERDUE = "job_overdue"
    # Pages.
    PAGES_LOST = "pages_lost"
    PAGES_DAMAGED = "pages_damaged"
    PAGES_AT_RISK = "pages_at_risk"
    PAGES_SAFE = "pages_safe"
    IO_ERRORS = "io_errors"
    WAIT_BEGAN = "wait_began"
    WAIT_ENDED = "wait_ended"
    NODE_DISTRUSTED = "node_distrusted"
    NODE_TRUSTED = "node_trusted"
    COPIES_COMPARED = "copies_compared"
    # Memory.
    BUDGET_ORDERED = "budget_ordered"
    BUDGET_CHANGED = "budget_changed"
    BUDGET_STOPPED = "budget_stopped"
    WRITES_REFUSED = "writes_refused"
    RESERVE_STARVED = "reserve_starved"
    RESERVE_FILLED = "reserve_filled"
    # Exports and pools.
    EXPORT_LOST = "export_lost"
    EXPORT_RESET = "export_reset"
    EXPORT_BLANK = "export_blank"
    EXPORT_LEFT = "export_left"
    EXPORT_ADDED = "export_added"
    EXPORT_REMOVED = "export_removed"
    EXPORT_RESIZED = "export_resized"
    POOL_LOST = "pool_lost"
    POOL_RESET = "pool_reset"
    # What follows from all this.
    HEALTH_CHANGED = "health_changed"
    HEALTH_MUTED = "health_muted"


def about(
    kind: EventKind,
    *,
    node: str = "",
    export: str = "",
    pool: str = "",
    lines_max: int | None = None,
    **fields: str | float,
) -> dict[str, object]:
    """Return the `extra` of a log line that is an event.

    Args:
        kind: What happened.
        node: The name of the other node that it is about, if it is about one.
        export: The name of the export.
        pool: The name of the pool.
        lines_max: The budget of the log for this kind of line, where it differs.
        fields: Numbers and names for programs; what people need stands in the text.
    """
    assert not fields.keys() & RESERVED_FIELDS
    names = {"node": node, "export": export, "pool": pool}
    event = {"event": kind.value, **{key: name for key, name in names.items() if name}, **fields}
    return {"event": event} if lines_max is None else {"event": event, "lines_max": lines_max}
