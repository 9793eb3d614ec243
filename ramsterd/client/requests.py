"""The calls of both clients as requests, and the results of requests as what calls return or raise.  Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NoReturn, TypeAlias

from net.errors import RemoteProtocolError
from net.packing import unpack_fields
from ramsterd.client.errors import (
    NotAllowed,
    NotConnected,
    NotStored,
    PageLost,
    PageUnreachable,
    PoolFull,
    PoolGone,
    PoolLost,
    RamsterError,
)
from ramsterd.client.protocol import Request
from ramsterd.frontends.tmem.messages import (
    CODECS,
    COUNT,
    INDEX_MAX,
    NAME_BYTES_MAX,
    OBJECT_ID_BYTES_MAX,
    PAGE_BYTES,
    ErrorCode,
    NewPool,
    PageState,
    PoolKind,
    TmemType,
    hello,
    page_range,
    place,
)

# Anything that has the buffer protocol and is contiguous: bytes, bytearray, memoryview, mmap,
# array, numpy.
Buffer: TypeAlias = bytes | bytearray | memoryview

# A run is cut into frames of so many pages, several of which are under way: 128 KiB fits a socket's
# buffer.
FRAME_PAGES: Final = 32
# What a place has room for.
POOL_NUMBER_MAX: Final = 0xFFFF_FFFF

_ERRORS: Final[dict[ErrorCode, type[RamsterError]]] = {
    ErrorCode.BAD_REQUEST: RamsterError,
    ErrorCode.NO_SUCH_POOL: PoolGone,
    ErrorCode.NOT_ALLOWED: NotAllowed,
    ErrorCode.NO_ROOM: PoolFull,
    ErrorCode.POOL_QUOTA: PoolFull,
    ErrorCode.USER_QUOTA: PoolFull,
    ErrorCode.TOO_MANY_POOLS: NotAllowed,
    ErrorCode.TOO_MANY_CONNECTIONS: NotConnected,
    ErrorCode.WRONG_VERSION: NotConnected,
    ErrorCode.KIND_DIFFERS: NotAllowed,
    ErrorCode.CODEC_DIFFERS: NotAllowed,
    ErrorCode.CODEC_MISSING: NotAllowed,
    ErrorCode.POOL_LOST: PoolLost,
    ErrorCode.STATE_UNWRITTEN: NotStored,
}
assert set(_ERRORS) == set(ErrorCode)


def error_of(error: tuple[ErrorCode, str]) -> RamsterError:
    """Return the exception that an ERROR stands for."""
    code, text = error
    return _ERRORS[code](text)


# Requests.


def hello_request(name: str) -> Request:
    """Say who we are."""
    _check_name(name)
    return Request(TmemType.HELLO, hello(name))


def new_pool_request(
    kind: PoolKind, name: str, codec: str = "lz4", *, is_exclusive: bool
) -> Request:
    """Ask for a pool; ValueError if there can be none such."""
    kind = PoolKind(kind)  # a program may say "persistent", too
    _check_name(name)
    if codec not in CODECS:
        raise ValueError(f"no codec {codec!r}; there are: {', '.join(CODECS)}")
    if is_exclusive and kind is PoolKind.PERSISTENT:
        raise ValueError("gets are exclusive in ephemeral pools only")
    return Request(TmemType.NEW_POOL, NewPool(kind, name, codec, is_exclusive).encode())


def put_requests(pool: int, object_id: bytes, index: int, buffer: Buffer) -> Iterator[Request]:
    """Put the pages of a buffer, which must not change until the requests are done."""
    view = as_bytes(buffer)
    _check_run(object_id, index, _pages_in(view))
    for start, count in _cut(_pages_in(view)):
        yield Request(
            TmemType.PUT,
            place(pool, object_id, index + start),
            count,
            body=view[start * PAGE_BYTES : (start + count) * PAGE_BYTES],
        )


def get_requests(pool: int, object_id: bytes, index: int, buffer: Buffer) -> Iterator[Request]:
    """Get as many pages as a buffer holds, into it."""
    view = as_bytes(buffer)
    if view.readonly:
        raise TypeError("a buffer that can be written to is needed")
    _check_run(object_id, index, _pages_in(view))
    for start, count in _cut(_pages_in(view)):
        yield Request(
            TmemType.GET,
            place(pool, object_id, index + start),
            count,
            target=view[start * PAGE_BYTES : (start + count) * PAGE_BYTES],
            index=index + start,
        )


def flush_request(pool: int, object_id: bytes, index: int, count: int) -> Request:
    """Drop a run, however long."""
    _check_run(object_id, index, count)
    return Request(TmemType.FLUSH_PAGES, page_range(pool, object_id, index, count))


def flush_object_request(pool: int, object_id: bytes) -> Request:
    """Drop all pages of an object."""
    _check_run(object_id, 0, 1)
    return Request(TmemType.FLUSH_OBJECT, place(pool, object_id))


def destroy_request(pool: int) -> Request:
    """Drop a pool."""
    return Request(TmemType.DESTROY_POOL, place(pool))


def status_request() -> Request:
    """Ask what the connection has."""
    return Request(TmemType.STATUS)


# Results.


def raise_first(requests: Iterable[Request]) -> None:
    """Raise what the first refused request stands for."""
    for request in requests:
        if request.error is not None:
            raise error_of(request.error)


def stored_pages(requests: Iterable[Request]) -> int:
    """Return how many pages were stored; raises the first error."""
    requests = list(requests)
    raise_first(requests)
    return sum(request.stored for request in requests)


def missing_indexes(requests: Sequence[Request]) -> list[int]:
    """Return which pages of a run miss.

    Raises:
        PageLost: Of some the last copy is gone.
        PageUnreachable: Some are at a peer that does not answer.
        RamsterError: A request was refused.
    """
    raise_first(requests)
    if all(request.reply.count(PageState.PAGE) == request.count for request in requests):
        return []
    for state, error in ((PageState.LOST, PageLost), (PageState.UNREACHABLE, PageUnreachable)):
        indexes = _indexes(requests, state)
        if indexes:
            raise error(tuple(indexes))
    return _indexes(requests, PageState.MISS)


def pages_of(requests: Sequence[Request]) -> list[bytes | None]:
    """Return the pages of a run, None for a miss; raises as `missing_indexes`."""
    missing_indexes(requests)
    pages: list[bytes | None] = []
    for request in requests:
        target = request.target
        assert target is not None
        pages += [
            bytes(target[number * PAGE_BYTES : (number + 1) * PAGE_BYTES]) if state else None
            for number, state in enumerate(request.reply)
        ]
    return pages


def dropped_pages(request: Request) -> int:
    """Return how many pages a flush or a destroy dropped; raises its error."""
    raise_first([request])
    if len(request.reply) != COUNT.size:
        raise RemoteProtocolError(f"a count of {len(request.reply)} bytes")
    (dropped,) = COUNT.unpack(request.reply)
    assert isinstance(dropped, int)
    return dropped


def opened_pool(request: Request) -> tuple[int, int]:
    """Return (pool number, pages that it has); raises its error."""
    raise_first([request])
    number, pages = unpack_fields(request.reply, (int, int))
    assert isinstance(number, int)
    assert isinstance(pages, int)
    if not (0 <= number <= POOL_NUMBER_MAX and pages >= 0):
        raise RemoteProtocolError(f"pool {number} of {pages} pages")
    return number, pages


def status_of(request: Request) -> dict[str, int]:
    """Return the map; raises its error."""
    raise_first([request])
    (status,) = unpack_fields(request.reply, (dict,))
    assert isinstance(status, dict)
    if not all(type(key) is str and type(value) is int for key, value in status.items()):
        raise RemoteProtocolError("a status that is no numbers by name")
    return status


# What a caller can do wrong.


def as_bytes(buffer: Buffer) -> memoryview:
    """Return a buffer as bytes, without a copy.

    Raises:
        TypeError: It is no contiguous buffer.
    """
    view = memoryview(buffer)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def check_count(count: int) -> int:
    """Return how many bytes so many pages are; ValueError unless there is one at least."""
    if count < 1:
        raise ValueError(f"{count} pages")
    return count * PAGE_BYTES


def _pages_in(view: memoryview) -> int:
    pages, rest = divmod(len(view), PAGE_BYTES)
    if rest or not pages:
        raise ValueError(f"{len(view)} bytes are not one or more pages of {PAGE_BYTES}")
    return pages


def _cut(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, FRAME_PAGES):
        yield start, min(FRAME_PAGES, count - start)


def _check_run(object_id: bytes, index: int, count: int) -> None:
    if not isinstance(object_id, bytes):
        raise TypeError(f"an object id is bytes, not {type(object_id).__name__}")
    if not isinstance(index, int):
        raise TypeError(f"an index is a whole number, not {type(index).__name__}")
    if len(object_id) > OBJECT_ID_BYTES_MAX:
        raise ValueError(f"an object id of {len(object_id)} bytes, at most {OBJECT_ID_BYTES_MAX}")
    if index < 0 or not 0 < count <= INDEX_MAX + 1 - index:
        raise ValueError(f"{count} pages from index {index} are no run within an object")


def _check_name(name: str) -> None:
    if len(name.encode()) > NAME_BYTES_MAX or not (name.isprintable() or not name):
        raise ValueError(f"a name of one line of at most {NAME_BYTES_MAX} bytes is needed")


def _indexes(requests: Iterable[Request], state: PageState) -> list[int]:
    return [
        request.index + number
        for request in requests
        for number, found in enumerate(request.reply)
        if found == state
    ]


def lost_connection(farewell: tuple[ErrorCode, str] | None, reason: str) -> NoReturn:
    """Raise for a connection that ended: the daemon's last error, if it sent one."""
    if farewell is not None:
        raise error_of(farewell)
    raise NotConnected(reason)
