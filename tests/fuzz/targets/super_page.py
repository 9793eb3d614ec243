"""Any bytes of kept memory's first page are refused by a gate, in one line, or are the header that we wrote."""

import random
from collections.abc import Mapping

from ramsterd.core.codec import checksum_of
from ramsterd.kept.layout import MAPPINGS, SUPER_BYTES
from ramsterd.kept.super_page import (
    _CHECKED_BYTES,
    ATTEMPTS_MAX,
    ID_BYTES,
    SERIAL_MAX,
    Expected,
    Header,
    Live,
    MemoryRefused,
    State,
    attach,
    create,
)
from tests.fuzz.target import Target

LENGTHS = dict.fromkeys(MAPPINGS, 4096)
HEADER = Header(
    memory_id=bytes(ID_BYTES),
    boot_id=bytes(ID_BYTES),
    made_at=1,
    cluster="lab",
    node=1,
    node_name="one",
    lengths=LENGTHS,
)
EXPECTED = Expected(
    cluster="lab",
    node=1,
    node_name="one",
    boot_id=bytes(ID_BYTES),
    memory_id=bytes(ID_BYTES),
    lengths=LENGTHS,
)


def check(data: bytes) -> set[str]:
    page = memoryview(bytearray(data))
    try:
        found = attach(page, EXPECTED)
    except MemoryRefused as error:
        assert len(str(error).splitlines()) == 1
        return {error.gate.name}
    assert (found.header.cluster, found.header.node) == ("lab", 1)
    assert found.live.serial_limit <= SERIAL_MAX
    found.write(found.live)
    assert attach(page, EXPECTED).live == found.live
    return {"attached"}


def page_of(header: Header = HEADER, *, attempts: int = 0) -> bytes:
    page = memoryview(bytearray(SUPER_BYTES))
    live = Live(state=State.RUNNING, incarnation=7, serial_limit=9, attempts=attempts)
    create(page, header, live)
    return bytes(page)


def seeds() -> Mapping[str, bytes]:
    def other(**changes: object) -> bytes:
        return page_of(Header(**{**{name: getattr(HEADER, name) for name in _FIELDS}, **changes}))

    page = page_of()
    return {
        "whole": page,
        "cut": page[:1000],
        "blank": bytes(SUPER_BYTES),
        "foreign": b"\x7fELF" + page[4:],
        "older": page[:8] + bytes(4) + page[12:],
        "newer": page[:8] + bytes([9]) + page[9:],
        "flipped": page[:60] + b"\xff" + page[61:],
        "no-live-slot": page[:1024] + bytes(SUPER_BYTES - 1024),
        "other-cluster": other(cluster="café"),
        "other-node": other(node=2),
        "other-boot": other(boot_id=b"b" * ID_BYTES),
        "other-memory": other(memory_id=b"m" * ID_BYTES),
        "other-lengths": other(lengths={**LENGTHS, "arena": 8192}),
        "other-build": repair(page[:16] + b"\xff" + page[17:], random.Random(0)),
        "tried-too-often": page_of(attempts=ATTEMPTS_MAX),
    }


_FIELDS = ("memory_id", "boot_id", "made_at", "cluster", "node", "node_name", "lengths")


def repair(data: bytes, rng: random.Random) -> bytes:
    """Give a page the checksum of its header."""
    page = data[:SUPER_BYTES].ljust(SUPER_BYTES, b"\0")
    checksum = checksum_of(page[:_CHECKED_BYTES]).to_bytes(8, "little")
    return page[:_CHECKED_BYTES] + checksum + page[_CHECKED_BYTES + 8 :]


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        {
            "attached", "TRUNCATED", "BLANK", "FOREIGN", "OLDER", "NEWER", "DAMAGED", "LAYOUT", "CLUSTER",
            "NODE", "BOOT", "MEMORY", "GEOMETRY", "ATTEMPTS",
        }
    ),
    repair=repair,
)  # fmt: skip
