"""The lock of a handler, for what is not called by `logging` itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(handler: logging.Handler) -> Iterator[None]:
    """Hold the lock that `logging` holds around `emit`."""
    handler.acquire()
    try:
        yield
    finally:
        handler.release()
