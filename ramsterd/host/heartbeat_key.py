"""The key of heartbeats while the daemon runs: replaced by a reload."""

import logging

from config.event_kinds import EventKind, about
from config.model import DaemonConfig
from heartbeat.key import read_key
from heartbeat.service import KEY_OVERLAP_SECONDS, HeartbeatService

logger = logging.getLogger("ramster.heartbeat")


def load_heartbeat_key(daemon: DaemonConfig) -> bytes | None:
    """Return what `heartbeat_key` names, None without it.

    Raises:
        BadKeyFile: The file is wrong.
    """
    return None if daemon.heartbeat_key is None else read_key(daemon.heartbeat_key)


def replace_heartbeat_key(key: bytes, heartbeat: HeartbeatService) -> str:
    """Use this key from now on; return what is new, an empty text if it is the same."""
    if not heartbeat.on_key_changed(key):
        return ""
    minutes = KEY_OVERLAP_SECONDS / 60
    text = (
        f"the new heartbeat key is loaded; the old one is accepted for {minutes:.0f} more minutes"
    )
    logger.info("%s", text, extra=about(EventKind.HEARTBEAT_KEY_RELOADED))
    return text
