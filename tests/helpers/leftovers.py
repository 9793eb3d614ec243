"""What is left of connections that are over: objects that only a full collection would free, or that nothing frees.

A connection that ended must be gone at once, by its reference counts: the collector of a daemon looks seldom, and what
waits for it may hold megabytes.
"""

import gc
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import trio

ROOT: Final = Path(__file__).parents[2]
NAMED_BY_CODE: Final = frozenset(
    {types.FrameType, types.CoroutineType, types.GeneratorType, types.MethodType}
)
OUR_PACKAGES: Final = frozenset({"config", "heartbeat", "net", "nodemanager", "ramsterd"})


class Leftovers:
    """What `watch_leftovers` found, by the names of types."""

    def __init__(self) -> None:
        # Unreachable, but in a cycle.
        self.in_cycles: Counter[str] = Counter()
        # More alive after than before.
        self.alive: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self.in_cycles or self.alive)

    def __repr__(self) -> str:
        return f"in cycles: {dict(self.in_cycles)}, alive: {dict(self.alive)}"


@contextmanager
def watch_leftovers() -> Iterator[Leftovers]:
    """Fill in, at the end of the block, what of our code and buffers the block left behind."""
    found = Leftovers()
    gc.collect()
    before = last_copies(gc.get_objects())
    was_enabled, flags = gc.isenabled(), gc.get_debug()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.in_cycles = last_copies(gc.garbage)
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.collect()
        found.alive = last_copies(gc.get_objects()) - before
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        if was_enabled:
            gc.enable()


async def leftovers_of(
    serve: Callable[..., Awaitable[None]], end_one: Callable[[], Awaitable[None]], clients: int
) -> Leftovers:
    """Return what so many clients of a server left behind, whose ends `end_one` waits for."""
    async with trio.open_nursery() as nursery:
        await nursery.start(serve)
        await end_one()  # what is made once is none of a client's
        with watch_leftovers() as left:
            for _ in range(clients):
                await end_one()
        nursery.cancel_scope.cancel()
    return left


def last_copies(objects: list[object]) -> Counter[str]:
    """Count the objects that are ours, or that keep a buffer, by type."""
    # There are some ten thousand, of few types.
    found = Counter[str]()
    for kind, count in Counter(map(type, objects)).items():
        if (name := type_name(kind)) is not None:
            found[name] += count
    named_by_code = (each for each in objects if type(each) in NAMED_BY_CODE)
    found.update(name for each in named_by_code if (name := name_of(each)) is not None)
    return found


def type_name(kind: type) -> str | None:
    """Return the name of a type of ours, or of one that keeps a buffer; None for all others."""
    # Some types of the interpreter have a descriptor there.
    if str(kind.__module__).partition(".")[0] in OUR_PACKAGES:
        return f"{kind.__module__}.{kind.__qualname__}"
    return "memoryview" if kind is memoryview else None


def name_of(each: object) -> str | None:
    """Return what runs code of ours, or is a method of an object of ours; None for all others."""
    if isinstance(each, types.FrameType):
        return code_name(each.f_code, "frame")
    if isinstance(each, types.CoroutineType):
        return code_name(each.cr_code, "coroutine")
    if isinstance(each, types.GeneratorType):
        return code_name(each.gi_code, "generator")
    assert isinstance(each, types.MethodType)
    owner = each.__self__
    is_ours = type_name(type(owner)) or (type(owner) in NAMED_BY_CODE and name_of(owner))
    return f"method {each.__func__.__qualname__}" if is_ours else None


@cache
def code_name(code: types.CodeType, kind: str) -> str | None:
    """Return the name of a function of ours."""
    path = Path(code.co_filename)
    if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in OUR_PACKAGES:
        return None
    return f"{kind} {path.relative_to(ROOT)}:{code.co_name}"
