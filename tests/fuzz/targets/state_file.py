"""Any text of a state file is a content that is written and read the same again, or DamagedState in one line."""

import json
import random
from collections.abc import Mapping

from ramsterd.statefile.content import (
    Content,
    DamagedState,
    PoolKey,
    Record,
    _digest,
    encode,
    parse,
)
from tests.fuzz.target import Target

RECORD = Record("0123456789abcdef" * 2)


def check(data: bytes) -> set[str]:
    try:
        content = parse(data)
    except DamagedState as error:
        assert len(str(error).splitlines()) == 1
        return {"checksum" if "checksum" in str(error) else "damaged"}
    assert parse(encode(content)) == content
    return {
        "content",
        *("pool" if isinstance(key, PoolKey) else "export" for key in content.records),
    }


def seeds() -> Mapping[str, bytes]:
    lost = Record("f" * 32, 1_700_000_000)
    full = encode(Content(7, {"swap0": RECORD, PoolKey(1000, "spill"): lost}, "ab" * 16, "/mnt"))
    return {
        "new": encode(Content()),
        "full": full,
        "flipped": full.replace(b"swap0", b"swap1"),
        "cut": full[:-9],
        "not-canonical": json.dumps(json.loads(full)).encode(),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Give a text the checksum of its content, or change a real one."""
    try:
        whole = json.loads(data)
        whole["sha256"] = _digest(whole["content"])
        return json.dumps(whole).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return rng.choice(list(seeds().values()))


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset({"content", "pool", "export", "damaged", "checksum"}),
    repair=repair,
    tokens=(
        b'"lost_at"',
        b'"generation"',
        b'"exports"',
        b'"pools"',
        b'"user"',
        b"0123456789abcdef",
    ),
)
