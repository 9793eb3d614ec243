"""A decorator that remembers what a function returned, compressed, for all programs of one user.

    from docs.examples.result_cache import ResultCache

    cache = ResultCache("/run/ramster/tmem.sock")

    @cache.remember(version=1, seconds_max=3600)
    def report(customer, month): ...

    report("ACME", 7)         # computed, unless any program of ours did within the hour
    report.forget("ACME", 7)  # computed anew next time

For plain functions, whose arguments and results can be pickled.  Change `version` when the code, or a class of its
results, changes.  Equal arguments may be pickled differently (sets, for one); then a result is computed once more,
never mistaken.

A result is an object: a header, the pickled bytes, zeros up to a whole page.  Its pages may vanish one by one, and two
programs may put two results over each other, so the header has a digest, and what does not match it is a miss.
Unpickling is safe only because no other user can put into our pools.
"""

import functools
import hashlib
import pickle
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, ParamSpec, TypeVar, cast

from docs.examples.cache_pool import CachePool
from ramsterd.client import PAGE_BYTES

P = ParamSpec("P")
R = TypeVar("R")

# Payload bytes, when it was computed (seconds of the wall clock, which all programs share), digest of both and payload.
HEADER: Final = struct.Struct("<Qd16s")
# Larger results are not kept.
RESULT_BYTES_MAX: Final = 64 * 1024 * 1024


class ResultCache:
    """Results of functions in an ephemeral pool."""

    def __init__(self, socket_path: str | Path, *, pool_name: str = "result-cache") -> None:
        self._pool = CachePool(socket_path, pool_name)
        self.hits = 0
        self.misses = 0

    def close(self) -> None:
        """Leave the daemon; what is cached stays."""
        self._pool.close()

    def remember(
        self, *, version: int = 0, seconds_max: float = float("inf")
    ) -> Callable[[Callable[P, R]], "Remembered[P, R]"]:
        """Decorate a function; a result older than `seconds_max` is computed anew."""
        return lambda function: Remembered(self, function, version, seconds_max)

    def load(self, key: bytes, seconds_max: float) -> bytes | None:
        """Return what was stored, or None for a miss of any kind."""
        first = memoryview(bytearray(PAGE_BYTES))
        payload = None
        if not self._pool.get_into(key, 0, first):
            payload = self._load_rest(key, first, seconds_max)
        if payload is None:
            self.misses += 1
        else:
            self.hits += 1
        return payload

    def _load_rest(self, key: bytes, first: memoryview, seconds_max: float) -> bytes | None:
        count, stored_at, digest = HEADER.unpack_from(first)
        if count > RESULT_BYTES_MAX or not 0 <= now() - stored_at <= seconds_max:
            return None
        whole = memoryview(bytearray(whole_pages(HEADER.size + count)))
        whole[:PAGE_BYTES] = first
        if len(whole) > PAGE_BYTES and self._pool.get_into(key, 1, whole[PAGE_BYTES:]):
            return None
        payload = bytes(whole[HEADER.size : HEADER.size + count])
        return payload if digest_of(stored_at, payload) == digest else None

    def store(self, key: bytes, payload: bytes) -> None:
        """Keep a result for as long as there is room."""
        if len(payload) > RESULT_BYTES_MAX:
            return
        stored_at = now()
        header = HEADER.pack(len(payload), stored_at, digest_of(stored_at, payload))
        buffer = bytearray(whole_pages(HEADER.size + len(payload)))
        buffer[: HEADER.size] = header
        buffer[HEADER.size : HEADER.size + len(payload)] = payload
        self._pool.put(key, 0, memoryview(buffer))

    def forget(self, key: bytes) -> None:
        """Drop a result."""
        self._pool.flush_object(key)


class Remembered(Generic[P, R]):
    """A function whose results are remembered."""

    def __init__(
        self, cache: ResultCache, function: Callable[P, R], version: int, seconds_max: float
    ) -> None:
        functools.update_wrapper(self, function)
        self._cache = cache
        self._function = function
        self._seconds_max = seconds_max
        self._name = f"{function.__module__} {function.__qualname__} {version} ".encode()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what was remembered, or compute and remember it."""
        key = self._key(*args, **kwargs)
        payload = self._cache.load(key, self._seconds_max)
        if payload is not None:
            return cast("R", pickle.loads(payload))  # noqa: S301  our own: see the top
        result = self._function(*args, **kwargs)
        self._cache.store(key, pickle.dumps(result))
        return result

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the result for these arguments computed anew next time."""
        self._cache.forget(self._key(*args, **kwargs))

    def _key(self, *args: P.args, **kwargs: P.kwargs) -> bytes:
        arguments = pickle.dumps((args, sorted(kwargs.items())))
        return hashlib.blake2b(self._name + arguments, digest_size=24).digest()


def now() -> float:
    """Return seconds of the wall clock."""
    return time.time()  # noqa: TID251  programs that share a pool share no other clock


def digest_of(stored_at: float, payload: bytes) -> bytes:
    """Return what tells a whole result from pages of two."""
    digest = hashlib.blake2b(struct.pack("<d", stored_at), digest_size=16)
    digest.update(payload)
    return digest.digest()


def whole_pages(count: int) -> int:
    """Return a number of bytes, rounded up to pages."""
    return -(-count // PAGE_BYTES) * PAGE_BYTES
