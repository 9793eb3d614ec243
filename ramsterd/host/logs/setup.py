"""The start of logging: by subsystem, as masklog did: `ramster.net`, `ramster.nbd` and so on, each with a level of its own."""

import logging
import os
import secrets
import sys
import time
from collections.abc import Mapping
from typing import Final

from config.model import LogConfig
from ramsterd.host.events.recorder import EventRecorder
from ramsterd.host.logs.handler import LogHandler
from ramsterd.host.logs.limiter import Limiter
from ramsterd.host.logs.log import Log
from ramsterd.host.logs.texts import is_journal

STDERR: Final = 2


def set_up_logging(config: LogConfig, environ: Mapping[str, str] = os.environ) -> Log:
    """Log to standard error, as the config says, and take what is printed there too.

    What is queued when the process ends is written by `logging.shutdown`, which Python calls by
    itself.

    Raises:
        ThreadRefused: There can be no thread that writes.
    """
    status = os.fstat(STDERR)
    handler = LogHandler(
        STDERR,
        is_journal=is_journal(environ, device=status.st_dev, inode=status.st_ino),
        clock=time.monotonic,  # noqa: TID251  other threads log too, and there is no loop yet
        limiter=Limiter(),
    )
    handler.start()
    # Numbers of events begin anew with each process, which may have the number of the one before.
    events = EventRecorder(run=secrets.token_hex(8), clock=time.monotonic)  # noqa: TID251  as above
    logging.getLogger().addHandler(handler)
    logging.getLogger().addHandler(events)
    sys.stderr = sys.stdout = handler.stream
    return Log(handler, config, events=events, clock=time.monotonic)  # noqa: TID251  as above
