"""Read the certificate and the keys of a node as its daemon would.  A shell."""

from collections.abc import Callable
from pathlib import Path

from config.errors import ConfigError
from config.model import DaemonConfig
from ramsterd.doctor.surroundings import Certificate
from ramsterd.host.certificate import wall_clock
from ramsterd.reconfigure.examine import load_own_credentials, load_own_key

_NO_RIGHT = "permission denied"


def read_certificate(
    daemon: DaemonConfig, config: Path, *, clock: Callable[[], float] = wall_clock
) -> Certificate:
    """Return what is known of them."""
    is_used = daemon.tls is not None
    try:
        credentials = load_own_credentials(daemon, config)
        load_own_key(daemon, str(config))
    except ConfigError as error:
        is_unreadable = error.found.lower().endswith(_NO_RIGHT)
        return Certificate(is_used=is_used, problem=error, is_unreadable=is_unreadable)
    left = None if credentials is None else credentials.expires_at - clock()
    return Certificate(is_used=is_used, seconds_left=left)
