"""A system that starts no more threads, as one does at the limit of its tasks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest
from trio._core._thread_cache import THREAD_CACHE

from ramsterd.host import threads


@contextmanager
def no_threads() -> Iterator[None]:
    """Refuse every thread in the block: also those that trio or we would have used again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_idle", [])
        patch.setattr(THREAD_CACHE, "_idle_workers", {})
        patch.setattr(threading.Thread, "start", refuse)
        yield


def refuse(_: threading.Thread) -> NoReturn:
    """Say what CPython says."""
    raise RuntimeError("can't start new thread")
