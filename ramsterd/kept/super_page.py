"""The first page of kept memory: whose it is and how it stands.  Pure.

Little-endian.  The *frozen header* is written once, before anything is kept, its magic last: memory
whose magic is zeros was never finished.  Then two *live slots*, written in turn, each with a
sequence number and a checksum: SIGKILL may tear the one that is being written, and then the other
stands.  If only one is whole, nobody knows whether the other was newer, so one reservation more of
serials counts as used.

    0     magic 8s | layout version u32 | 0 u32
    16    layout hash u64 | memory id 16s | boot id 16s | made at u64 | node u16 | cluster 64p | node name 64p
          | length u64 of each mapping | xxh3 u64 of all before
    1024, 2048   sequence | state | attempts | attaches | incarnation | serial limit | names epoch | xxh3, all u64

Magic and version stay where they are for ever, so that any release can name the memory of any
other.
"""

import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ramsterd.core.codec import checksum_of
from ramsterd.core.page import INDEX_MAX
from ramsterd.kept.layout import (
    LAYOUT_VERSION,
    MAPPINGS,
    SUPER_BYTES,
    layout_hash,
    parse_layout,
)

MAGIC: Final = b"ramster\n"
ID_BYTES: Final = 16
# Serials reserved at once: used or not, none of them is used again after a crash.
SERIALS_RESERVED: Final = 1 << 20
# A serial is an index at its holder (remote.wire).
SERIAL_MAX: Final = INDEX_MAX
# Attaches without a good while of service before the memory is given up: something in it may kill
# each of them.
ATTEMPTS_MAX: Final = 3

_MAGIC_BYTES: Final = len(MAGIC)
_FIRST: Final = struct.Struct("<8sII")
_FROZEN: Final = struct.Struct(f"<Q{ID_BYTES}s{ID_BYTES}sQH64p64p{len(MAPPINGS)}Q")
_CHECKSUM: Final = struct.Struct("<Q")
_CHECKED_BYTES: Final = _FIRST.size + _FROZEN.size
_LIVE: Final = struct.Struct("<7Q")
_LIVE_OFFSETS: Final = (1024, 2048)
_WORD_MAX: Final = (1 << 64) - 1

assert _CHECKED_BYTES + _CHECKSUM.size <= _LIVE_OFFSETS[0]
assert _LIVE_OFFSETS[-1] + _LIVE.size + _CHECKSUM.size <= SUPER_BYTES


class Gate(enum.Enum):
    """What memory must pass, in this order; the value says it to operators."""

    TRUNCATED = "is cut off"
    BLANK = "was never finished"
    FOREIGN = "is not of ramster"
    OLDER = "is of an older release"
    NEWER = "is of a newer release"
    DAMAGED = "is damaged"
    LAYOUT = "is of another build"
    CLUSTER = "is of another cluster"
    NODE = "is of another node"
    BOOT = "is from before a reboot"
    MEMORY = "is not of the last run"
    GEOMETRY = "is not all there"
    ATTEMPTS = "ended too many starts"


# Memory that others may want: the operator decides, and this start ends.  All other is given up,
# and the start is that of a node which keeps nothing yet.
IS_NOT_OURS_TO_GIVE_UP: Final = frozenset(
    {Gate.FOREIGN, Gate.OLDER, Gate.NEWER, Gate.LAYOUT, Gate.CLUSTER, Gate.NODE}
)


class MemoryRefused(Exception):
    """Kept memory can't be taken up; the message is one line for the operator."""

    def __init__(self, gate: Gate, found: str, expected: str) -> None:
        super().__init__(f"the kept memory {gate.value}: {found}, expected {expected}")
        self.gate = gate


class State(enum.IntEnum):
    """How the last process left the memory."""

    RUNNING = 1  # it did not: it was killed, or runs still
    CLEAN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Which node has a memory: nobody else may use it."""

    cluster: str
    node: int
    # For messages: a node may get another one.
    node_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(Owner):
    """Whose memory it is; never changes."""

    memory_id: bytes
    boot_id: bytes
    # In seconds since 1970.
    made_at: int
    # What each of `MAPPINGS` has at least, in bytes: they may grow.
    lengths: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """How it stands."""

    state: State
    incarnation: int
    # No serial beyond it was ever used.
    serial_limit: int
    # Attaches since the last that has served for a while.
    attempts: int = 0
    # All attaches: peers tell by it that this node was attached anew.
    attaches: int = 0
    # How often the log of names was written anew.
    names_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected(Owner):
    """What this start is, that the memory must fit."""

    boot_id: bytes
    # What the state file says; None: there is none, and the memory's word is taken.
    memory_id: bytes | None
    # How long each mapping is that was found.
    lengths: Mapping[str, int]


class SuperPage:
    """A page that is in use."""

    def __init__(self, page: memoryview, header: Header, live: Live, sequence: int) -> None:
        self._page = page
        self.header = header
        self.live = live
        self._sequence = sequence

    def write(self, live: Live) -> None:
        """From now on it stands like this."""
        self._sequence += 1
        _store_live(self._page, self._sequence, live)
        self.live = live

    def reserve_serials(self, serial_last: int) -> int:
        """Make room for serials after the newest.

        Return the new limit, up to which they may be used.
        """
        limit = min(serial_last + SERIALS_RESERVED, SERIAL_MAX)
        if limit > self.live.serial_limit:
            self.write(replace(self.live, serial_limit=limit))
        return self.live.serial_limit


def create(page: memoryview, header: Header, live: Live) -> SuperPage:
    """Fill a page of zeros."""
    assert len(header.memory_id) == len(header.boot_id) == ID_BYTES
    frozen = _FROZEN.pack(
        layout_hash(), header.memory_id, header.boot_id, header.made_at, header.node,
        header.cluster.encode(), header.node_name.encode(), *(header.lengths[name] for name in MAPPINGS),
    )  # fmt: skip
    checked = _FIRST.pack(MAGIC, LAYOUT_VERSION, 0) + frozen
    whole = checked + _CHECKSUM.pack(checksum_of(checked))
    for sequence in (1, 2):
        _store_live(page, sequence, live)
    page[_MAGIC_BYTES : len(whole)] = whole[_MAGIC_BYTES:]
    page[:_MAGIC_BYTES] = MAGIC
    return SuperPage(page, header, live, sequence=2)


def attach(page: memoryview, expected: Expected) -> SuperPage:
    """Return a page that was found, if this start may use the memory behind it; nothing is written.

    Raises:
        MemoryRefused: It may not; the first gate that failed is named.
    """
    if len(page) < SUPER_BYTES:
        _refuse(Gate.TRUNCATED, f"{len(page)} bytes", f"{SUPER_BYTES}")
    header = _read_header(page)
    _check_header(header, expected)
    live, sequence = _read_live(page)
    if live.attempts >= ATTEMPTS_MAX:
        _refuse(Gate.ATTEMPTS, f"{live.attempts}", f"fewer than {ATTEMPTS_MAX}")
    return SuperPage(page, header, live, sequence)


def is_of_memory(page: bytes, memory_id: bytes) -> bool:
    """Return whether a page that was found is, for all that can be told, that of a memory."""
    if len(page) < SUPER_BYTES:
        return False
    try:
        return _read_header(memoryview(page)).memory_id == memory_id
    except MemoryRefused as error:
        # Another release reads which one it is.
        return error.gate in {Gate.OLDER, Gate.NEWER, Gate.LAYOUT}


def check_owner(found: Owner, expected: Owner) -> None:
    """Check whether the memory of one node is that of another.

    Raises:
        MemoryRefused: It is not.
    """
    if found.cluster != expected.cluster:
        _refuse(Gate.CLUSTER, f"{found.cluster!r}", f"{expected.cluster!r}")
    if found.node != expected.node:
        _refuse(Gate.NODE, _describe(found), _describe(expected))


def _describe(owner: Owner) -> str:
    return f"{owner.node_name!r} (number {owner.node})"


def check_layout(name: str) -> None:
    """Check whether this program reads memory of a layout, which another has named (`layout_name`).

    Raises:
        MemoryRefused: It does not.
        ValueError: That is no name of a layout.
    """
    version, layout = parse_layout(name)
    _check_version(version)
    _check_hash(layout)


def _check_version(version: int) -> None:
    if version != LAYOUT_VERSION:
        gate = Gate.OLDER if version < LAYOUT_VERSION else Gate.NEWER
        _refuse(gate, f"layout {version}", f"{LAYOUT_VERSION}")


def _check_hash(layout: int) -> None:
    if layout != layout_hash():
        _refuse(Gate.LAYOUT, f"layout hash {layout:#x}", f"{layout_hash():#x}")


def _refuse(gate: Gate, found: str, expected: str) -> None:
    raise MemoryRefused(gate, found, expected)


def _read_header(page: memoryview) -> Header:
    magic, version, _ = _FIRST.unpack_from(page)
    if magic != MAGIC:
        is_blank = magic == bytes(_MAGIC_BYTES)
        _refuse(Gate.BLANK if is_blank else Gate.FOREIGN, f"magic {magic!r}", f"{MAGIC!r}")
    _check_version(version)
    (checksum,) = _CHECKSUM.unpack_from(page, _CHECKED_BYTES)
    if checksum != checksum_of(page[:_CHECKED_BYTES]):
        _refuse(Gate.DAMAGED, "a header whose checksum differs", "an intact one")
    layout, memory_id, boot_id, made_at, node, cluster, node_name, *lengths = _FROZEN.unpack_from(
        page, _FIRST.size
    )
    _check_hash(layout)
    return Header(
        memory_id=memory_id,
        boot_id=boot_id,
        made_at=made_at,
        cluster=cluster.decode(errors="replace"),
        node=node,
        node_name=node_name.decode(errors="replace"),
        lengths=dict(zip(MAPPINGS, lengths, strict=True)),
    )


def _check_header(header: Header, expected: Expected) -> None:
    check_owner(header, expected)
    if header.boot_id != expected.boot_id:
        _refuse(Gate.BOOT, f"boot {header.boot_id.hex()}", expected.boot_id.hex())
    if expected.memory_id not in {None, header.memory_id}:
        assert expected.memory_id is not None
        named = expected.memory_id.hex() or "none"
        _refuse(Gate.MEMORY, f"memory {header.memory_id.hex()}", f"{named}, as the state file says")
    for name, length in header.lengths.items():
        if (found_length := expected.lengths.get(name, 0)) < length:
            _refuse(Gate.GEOMETRY, f"{found_length} bytes of {name}", f"{length} or more")


def _store_live(page: memoryview, sequence: int, live: Live) -> None:
    body = _LIVE.pack(
        sequence, live.state, live.attempts, live.attaches, live.incarnation, live.serial_limit,
        live.names_epoch,
    )  # fmt: skip
    whole = body + _CHECKSUM.pack(checksum_of(body))
    start = _LIVE_OFFSETS[sequence % len(_LIVE_OFFSETS)]
    page[start : start + len(whole)] = whole


def _read_live(page: memoryview) -> tuple[Live, int]:
    slots = [slot for start in _LIVE_OFFSETS if (slot := _read_slot(page, start)) is not None]
    if not slots:
        _refuse(Gate.DAMAGED, "no whole record of how it stands", "one or two")
    live, sequence = max(slots, key=lambda slot: slot[1])
    if len(slots) < len(_LIVE_OFFSETS):
        limit = min(live.serial_limit + SERIALS_RESERVED, SERIAL_MAX)
        # What is torn is overwritten next, and what is whole stays.
        live = replace(live, serial_limit=limit)
    return live, sequence


def _read_slot(page: memoryview, start: int) -> tuple[Live, int] | None:
    body = page[start : start + _LIVE.size]
    (checksum,) = _CHECKSUM.unpack_from(page, start + _LIVE.size)
    sequence, state, attempts, attaches, incarnation, serial_limit, epoch = _LIVE.unpack(body)
    is_slot = _LIVE_OFFSETS[sequence % len(_LIVE_OFFSETS)] == start
    if checksum != checksum_of(body) or not is_slot or state not in set(State):
        return None
    if serial_limit > SERIAL_MAX or sequence == _WORD_MAX:
        return None
    live = Live(
        state=State(state),
        attempts=attempts,
        attaches=attaches,
        incarnation=incarnation,
        serial_limit=serial_limit,
        names_epoch=epoch,
    )
    return live, sequence
