"""Why a socket or an address is not opened, in one line, and whether a later start could do better."""

import errno
from pathlib import Path

import pytest
import trio

from ramsterd.endpoints.opening import CannotServe, leaves, start
from ramsterd.endpoints.sockets import SocketPathTaken


@pytest.mark.parametrize(
    ("error", "is_in_the_files", "told"),
    [
        (OSError(errno.EADDRINUSE, "Address already in use"), False, "Address already in use"),
        (OSError(errno.EADDRNOTAVAIL, "No such address"), True, "No such address"),
        (OSError(errno.ENOENT, "No such file", "/run/x"), True, "/run/x: No such file"),
        (OSError("no reason"), False, "no reason"),
        (
            SocketPathTaken(Path("/run/x"), is_socket=True),
            False,
            "/run/x: another server listens there",
        ),
    ],
)
async def test_why_something_is_not_opened_is_one_line(
    error: Exception, is_in_the_files: bool, told: str
) -> None:
    """And whether a later start could do better."""

    async def serve(task_status: object) -> None:
        raise error

    with pytest.raises(ExceptionGroup) as group:
        async with trio.open_nursery() as nursery:
            await start(nursery, serve, "NBD", {})
    [cannot] = [each for each in leaves(group.value) if isinstance(each, CannotServe)]
    assert str(cannot).endswith(f"NBD: {told}")
    assert cannot.is_in_the_files is is_in_the_files


async def test_a_fault_of_ours_is_no_reason_that_an_operator_could_correct() -> None:
    async def serve(task_status: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as group:
        async with trio.open_nursery() as nursery:
            await start(nursery, serve, "NBD", {})
    assert [type(each) for each in leaves(group.value)] == [ZeroDivisionError]


def test_leaves_of_nested_groups_come_in_order() -> None:
    first, second, third = CannotServe("a"), ValueError("b"), KeyboardInterrupt()
    inner = BaseExceptionGroup("", [second, BaseExceptionGroup("", [third])])
    assert list(leaves(BaseExceptionGroup("", [first, inner]))) == [first, second, third]
