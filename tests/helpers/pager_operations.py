"""Operations of the pager, with everything that a test does not care about filled in."""

from ramsterd.core.page import PoolId
from ramsterd.frontends.pager.interface import WriteOutcome
from ramsterd.frontends.pager.operations import Patch, Put, Take

POOL, OTHER = PoolId(1), PoolId(2)
OBJECT = b"disk"


def ignore(_: WriteOutcome) -> None:
    pass


def make_put(number: int, index: int, count: int, pool: PoolId = POOL) -> Put:
    return Put(
        client={}, number=number, pool=pool, object_id=OBJECT, rest=[range(index, index + count)],
        began_at=0.0, deadline=9.0, done=ignore, index=index, pages=memoryview(bytes(count * 4096)),
    )  # fmt: skip


def make_patch(number: int, index: int, *, is_behind: bool) -> Patch:
    return Patch(
        client={}, number=number, pool=POOL, object_id=OBJECT, rest=[range(index, index + 1)],
        began_at=0.0, deadline=9.0, done=ignore, index=index, offset=1, data=b"x", is_behind=is_behind,
    )  # fmt: skip


def make_take(number: int, index: int, count: int) -> Take:
    return Take(
        client={}, number=number, pool=POOL, object_id=OBJECT, rest=[range(index, index + count)]
    )
