"""The key of heartbeats while the daemon runs: read again on SIGHUP."""

import logging
from collections.abc import Callable

from config.model import DaemonConfig
from heartbeat.key import BadKeyFile, read_key
from heartbeat.service import KEY_OVERLAP_SECONDS, HeartbeatService

logger = logging.getLogger("ramster.heartbeat")


def load_heartbeat_key(daemon: DaemonConfig) -> bytes | None:
    """Return what `heartbeat_key` names, None without it.

    Raises:
        BadKeyFile: The file is wrong.
    """
    return None if daemon.heartbeat_key is None else read_key(daemon.heartbeat_key)


def reload_heartbeat_key(load: Callable[[], bytes | None], heartbeat: HeartbeatService) -> None:
    """Read the file again.  One that is wrong changes nothing; one that is the same neither."""
    try:
        key = load()
    except BadKeyFile as error:
        logger.error("the heartbeat key stays the old one: %s", error)  # noqa: TRY400  one line says it
        return
    if key is not None and heartbeat.on_key_changed(key):
        logger.info(
            "heartbeat key reloaded; the old one counts for %.0f minutes", KEY_OVERLAP_SECONDS / 60
        )
