"""What stands in the state file.  Pure.

Pages live in memory and end with the daemon.  The file outlives it, and has a record of each export
and of each named persistent pool that has pages, and of none that is blank: an export that had some
must not be served as a blank one.

The text is JSON with a checksum over its content, so that a file that is cut off, or has one bit
flipped, is never taken for one that says "blank".
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, TypeGuard

from config.limits import USER_ID_MAX

FORMAT: Final = 3
# Which formats are read: the first has no memory id, and the second not the folder of that memory.
FORMATS: Final = (1, 2, FORMAT)
FORMAT_MAX: Final = (1 << 31) - 1
# A record takes 150 to 500 bytes.  There are 64 exports and 4096 pools; the rest is for those that
# a config had once.
RECORDS_MAX: Final = 8192
STATE_BYTES_MAX: Final = 8 * 1024 * 1024
# As the endpoints that make them allow (config.limits, ramsterd.frontends.tmem.messages).
NAME_BYTES_MAX: Final = 63
# As the greeting of a link has it (net.hello).
INCARNATION_MAX: Final = (1 << 64) - 1
# As the kernel allows (PATH_MAX has the zero behind it).
FOLDER_BYTES_MAX: Final = 4095
# Seconds since 1970 until the year 3058.
SECONDS_MAX: Final = (1 << 35) - 1
_GENERATION: Final = re.compile(r"[0-9a-f]{32}")
_MEMORY_ID: Final = re.compile(r"[0-9a-f]{32}|")
_FIELDS: Final = {"generation", "lost_at"}
# Which format was the first that has a key.
_SINCE: Final = {"memory_id": 2, "memory_folder": 3}


class DamagedState(Exception):
    """The text is not what `encode` returns; the message says what is wrong with it."""


class PoolKey(NamedTuple):
    """A named persistent pool of the tmem socket."""

    user: int
    name: str


# An export is known by its name.
Key: TypeAlias = str | PoolKey


@dataclass(frozen=True, slots=True)
class Record:
    """An export or pool that has pages, or had some that are lost."""

    # Names one filling: what was written between two moments at which it was blank.  32 hexadecimal
    # digits.
    generation: str
    # When a start found that its pages are gone, in seconds since 1970; 0: they are not.
    lost_at: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """The whole file."""

    # 0: none is known.
    last_incarnation: int = 0
    records: Mapping[Key, Record] = field(default_factory=dict)
    # Of the memory that the last run used (ramsterd.kept), 32 hexadecimal digits; empty: of none.
    memory_id: str = ""
    # Which folder keeps that memory; empty: none does.
    memory_folder: str = ""


def describe(key: Key) -> str:
    """Return an export or pool as an operator calls it."""
    return f"export {key}" if isinstance(key, str) else f"pool {key.name!r} of user {key.user}"


def encode(content: Content) -> bytes:
    """Return the text of the file."""
    rows = content.records.items()
    body = {
        "last_incarnation": content.last_incarnation,
        "memory_id": content.memory_id,
        "memory_folder": content.memory_folder,
        "exports": [
            {"name": key, **_fields(record)} for key, record in rows if isinstance(key, str)
        ],
        "pools": [
            {"user": key.user, "name": key.name, **_fields(record)}
            for key, record in rows
            if not isinstance(key, str)
        ],
    }
    whole = {"format": FORMAT, "sha256": _digest(body), "content": body}
    return json.dumps(whole, indent=1).encode() + b"\n"


def _fields(record: Record) -> dict[str, object]:
    return {"generation": record.generation, "lost_at": record.lost_at}


def _digest(body: object) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def parse(data: bytes) -> Content:
    """Return what the file says.

    Raises:
        DamagedState: It is not whole, or of a later release.
    """
    try:
        whole = json.loads(data)
        digest = _digest(whole["content"]) if isinstance(whole, dict) and "content" in whole else ""
    except (ValueError, RecursionError):
        raise DamagedState("no JSON") from None
    if not isinstance(whole, dict) or set(whole) != {"format", "sha256", "content"}:
        raise DamagedState("other keys than a state file has")
    if (version := _whole(whole["format"], FORMAT_MAX)) not in FORMATS:
        raise DamagedState(f"format {version} of another release, not {FORMAT}")
    if whole["sha256"] != digest:
        raise DamagedState("a checksum that differs")
    body = whole["content"]
    keys = {"last_incarnation", "exports", "pools"}
    keys |= {name for name, since in _SINCE.items() if version >= since}
    if not isinstance(body, dict) or set(body) != keys:
        raise DamagedState("other keys than a state file has")
    memory_id = body.get("memory_id", "")
    if not isinstance(memory_id, str) or _MEMORY_ID.fullmatch(memory_id) is None:
        raise DamagedState("a memory id that is none")
    if not _is_folder(memory_folder := body.get("memory_folder", "")):
        raise DamagedState("a folder of the memory that is none")
    records: dict[Key, Record] = {}
    for kind in ("exports", "pools"):
        rows = body[kind]
        if not isinstance(rows, list) or len(rows) + len(records) > RECORDS_MAX:
            raise DamagedState(f"{kind}: no list of at most {RECORDS_MAX} records")
        for row in rows:
            key, record = _parse_row(row, kind)
            if key in records:
                raise DamagedState(f"{kind}: two records of {describe(key)}")
            records[key] = record
    return Content(
        last_incarnation=_whole(body["last_incarnation"], INCARNATION_MAX),
        memory_id=memory_id,
        memory_folder=memory_folder,
        records=records,
    )


def _parse_row(row: object, kind: str) -> tuple[Key, Record]:
    named = {"name"} if kind == "exports" else {"name", "user"}
    if not isinstance(row, dict) or set(row) != _FIELDS | named:
        raise DamagedState(f"{kind}: a record with other keys")
    name, generation = row["name"], row["generation"]
    # Half a character is not printable, and can't be encoded.
    if (
        not isinstance(name, str)
        or not name.isprintable()
        or not 0 < len(name.encode()) <= NAME_BYTES_MAX
    ):
        raise DamagedState(f"{kind}: a record without a name")
    if not isinstance(generation, str) or _GENERATION.fullmatch(generation) is None:
        raise DamagedState(f"{kind}: a generation that is none")
    key: Key = name if kind == "exports" else PoolKey(_whole(row["user"], USER_ID_MAX), name)
    return key, Record(generation, _whole(row["lost_at"], SECONDS_MAX))


def _is_folder(found: object) -> TypeGuard[str]:
    if not isinstance(found, str) or "\0" in found or (found and not found.startswith("/")):
        return False
    try:
        return len(found.encode()) <= FOLDER_BYTES_MAX
    except UnicodeEncodeError:  # half a character
        return False


def _whole(found: object, most: int) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= most:
        raise DamagedState(f"{found!r:.20}, not 0 to {most}")
    return found
