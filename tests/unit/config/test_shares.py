import dataclasses
import json

import pytest

from config.errors import Mismatch
from config.memory import MemoryBound
from config.shares import Share, describe_size, is_share

MACHINE = MemoryBound(limit_bytes=10_000_000, name="the memory of this machine")


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("60%", 5_996_544),
        ("60 %", 5_996_544),
        ("0.05%", 4096),
        ("100%", 9_998_336),
        ("33.333%", 3_330_048),
    ],
)
def test_a_share_is_a_number_of_whole_pages(written: str, count: int) -> None:
    share = Share(written, MACHINE, step=4096)
    assert share == count
    assert share + 1 == count + 1
    assert json.dumps({"budget": share}) == f'{{"budget": {count}}}'


@pytest.mark.parametrize(
    "written", ["0%", "100.1%", "-1%", "1e2%", "%", "6 0%", "60", "1.2345%", "٦%", "1000%"]
)
def test_other_texts_are_no_share(written: str) -> None:
    with pytest.raises(Mismatch, match="more than 0% and at most 100%"):
        Share(written, MACHINE, step=1)


def test_a_share_tells_what_it_comes_to_and_of_what_it_is_a_part() -> None:
    share = Share("60%", MACHINE, step=4096)
    assert describe_size(share) == "5.7 MiB (60% of the memory of this machine, 9.5 MiB)"
    assert describe_size(1 << 20) == "1MiB"


def test_what_ends_with_a_percent_sign_is_meant_as_a_share() -> None:
    assert [is_share(each) for each in ("60%", "lots%", "60", 60, None)] == [True, True] + [
        False
    ] * 3


def test_a_share_is_the_same_as_another_of_the_same_size() -> None:
    """So that a reload compares what budgets are, not how they are written."""

    @dataclasses.dataclass(frozen=True)
    class Holder:
        budget: int

    assert Holder(Share("100%", MACHINE, step=10_000_000)) == Holder(10_000_000)
