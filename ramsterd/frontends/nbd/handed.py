"""One NBD connection in the words of a handover: its record, and the session or the handshake that a record leads to.

Pure.

A client goes on with what it was told in its handshake, also with the size of an export that has
grown.  An export that is smaller, or has other flags, or blank pages where there were some, is not
the one that it opened: the record leads to nothing, the connection is shut down, and the client
gets the text in its next handshake.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple, cast

from config.limits import PAGE_BYTES
from ramsterd.frontends.nbd.buffers import RECEIVE_BYTES
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.failures import Failure
from ramsterd.frontends.nbd.negotiation import KNOWN_CLIENT_FLAGS, Position
from ramsterd.frontends.nbd.payloads import PartOfRefused, PartOfWrite
from ramsterd.frontends.nbd.protocol import (
    OPTIONS_MAX,
    REFUSED_OPTION_BYTES_MAX,
    REFUSED_PAYLOAD_BYTES_MAX,
    REPLY_BYTES_MAX,
    Command,
    Errno,
)
from ramsterd.frontends.nbd.session import Session
from ramsterd.handover.document import (
    UNREAD_BYTES_MAX,
    UNSENT_BYTES_MAX,
    ConnectionRecord,
    DamagedRecord,
    FrontEnd,
    fields_of,
)
from ramsterd.statefile.marks import MarkState

assert RECEIVE_BYTES <= UNREAD_BYTES_MAX
assert REPLY_BYTES_MAX <= UNSENT_BYTES_MAX

_COOKIE_BYTES: Final = 8
# What the first field of a payload says.
_WRITE: Final = 1
_REFUSED: Final = 2


class Handed(NamedTuple):
    """Where a connection goes on."""

    session: Session
    part: PartOfWrite | PartOfRefused | None
    unread: bytes
    unsent: bytes


class HandedHandshake(NamedTuple):
    """Where a handshake goes on."""

    position: Position
    unsent: bytes


def record_of(handed: Handed) -> ConnectionRecord:
    """Return the record of a connection."""
    session, part = handed.session, handed.part
    export = session.export
    flags = export.transmission_flags(is_structured=session.is_structured)
    state: list[object] = [
        export.name,
        export.size,
        int(flags),
        session.is_structured,
        session.has_allocation,
        export.mark.state is MarkState.USED,
        [] if part is None else _pack(part),
    ]
    return ConnectionRecord(
        front_end=FrontEnd.NBD, state=state, unread=handed.unread, unsent=handed.unsent
    )


def handed_from(record: ConnectionRecord, exports: Iterable[Export]) -> Handed:
    """Return where a connection goes on.

    Raises:
        DamagedRecord: It does not: there is no such export now, or the record is damaged.
    """
    name, size, flags, is_structured, has_allocation, is_used, part = cast(
        "tuple[str, int, int, bool, bool, bool, list[object]]",
        fields_of(record.state, str, int, int, bool, bool, bool, list),
    )
    export = next((each for each in exports if each.name == name), None)
    if export is None:
        raise DamagedRecord(f"export {name} is not in ramsterd.toml any more")
    if export.lost_reason:
        raise DamagedRecord(export.lost_reason)
    if is_used and export.mark.state is not MarkState.USED:
        raise DamagedRecord(f"export {name} is blank now")
    if export.size < size or export.transmission_flags(is_structured=is_structured) != flags:
        raise DamagedRecord(f"export {name} has changed in ramsterd.toml")
    if size <= 0 or size % PAGE_BYTES:
        raise DamagedRecord(f"a disk of {size} bytes")
    export = replace(export, size=size)
    if has_allocation and not is_structured:
        raise DamagedRecord("a metadata context without structured replies")
    if len(record.unread) > RECEIVE_BYTES:
        raise DamagedRecord(f"{len(record.unread)} unread bytes, at most {RECEIVE_BYTES}")
    session = Session(export=export, is_structured=is_structured, has_allocation=has_allocation)
    return Handed(session, _part(part, session), record.unread, record.unsent)


def record_of_handshake(handed: HandedHandshake) -> ConnectionRecord:
    """Return the record of a connection whose handshake is not over."""
    position = handed.position
    state: list[object] = [
        [] if position.client_flags is None else [position.client_flags],
        position.is_structured,
        [] if position.allocation_of is None else [position.allocation_of],
        position.options_count,
        [] if position.skipped is None else [*position.skipped],
    ]
    return ConnectionRecord(
        front_end=FrontEnd.NBD_HANDSHAKE,
        state=state,
        unread=position.rest,
        unsent=handed.unsent,
    )


def handshake_from(record: ConnectionRecord) -> HandedHandshake:
    """Return where a handshake goes on.  Its client has chosen nothing, so exports may be others now.

    Raises:
        DamagedRecord: Nobody knows.
    """
    said, is_structured, selected, count, skipped = cast(
        "tuple[list[object], bool, list[object], int, list[object]]",
        fields_of(record.state, list, bool, list, int, list),
    )
    flags = cast("int", fields_of(said, int)[0]) if said else None
    if flags is not None and flags & ~KNOWN_CLIENT_FLAGS:
        raise DamagedRecord(f"client flags {flags:#x}")
    if not 0 <= count <= OPTIONS_MAX:
        raise DamagedRecord(f"{count} options, at most {OPTIONS_MAX}")
    if selected and not is_structured:
        raise DamagedRecord("a metadata context without structured replies")
    position = Position(
        client_flags=flags,
        is_structured=is_structured,
        allocation_of=cast("str", fields_of(selected, str)[0]) if selected else None,
        options_count=count,
        skipped=_skipped(skipped) if skipped else None,
        rest=record.unread,
    )
    return HandedHandshake(position, record.unsent)


def _skipped(fields: list[object]) -> tuple[int, int]:
    option, rest_bytes = cast("tuple[int, int]", fields_of(fields, int, int))
    if not 0 <= option < 1 << 32 or not 0 < rest_bytes <= REFUSED_OPTION_BYTES_MAX:
        raise DamagedRecord("an option that is none")
    return option, rest_bytes


def _pack(part: PartOfWrite | PartOfRefused) -> list[object]:
    if isinstance(part, PartOfRefused):
        return [_REFUSED, part.cookie, part.rest_bytes, _pack_failure(part.failure)]
    return [
        _WRITE,
        part.cookie,
        part.rest_bytes,
        _pack_failure(part.failure),
        part.flags,
        part.offset,
        part.length,
    ]


def _pack_failure(failure: Failure | None) -> list[object]:
    return [] if failure is None else [int(failure.errno), failure.reason]


def _part(fields: list[object], session: Session) -> PartOfWrite | PartOfRefused | None:
    if not fields:
        return None
    kind, cookie, rest_bytes, failed = cast(
        "tuple[int, bytes, int, list[object]]", fields_of(fields, int, bytes, int, list)
    )
    if len(cookie) != _COOKIE_BYTES:
        raise DamagedRecord(f"a cookie of {len(cookie)} bytes")
    failure = _failure(failed)
    if kind == _REFUSED:
        if failure is None or not 0 < rest_bytes <= REFUSED_PAYLOAD_BYTES_MAX:
            raise DamagedRecord("a refused WRITE that is none")
        return PartOfRefused(cookie=cookie, rest_bytes=rest_bytes, failure=failure)
    if kind != _WRITE:
        raise DamagedRecord(f"a payload of kind {kind}")
    flags, offset, length = cast("tuple[int, int, int]", fields_of(fields[4:], int, int, int))
    is_sensible = offset >= 0 and session.judge(Command.WRITE, flags, offset, length) is None
    if not is_sensible or not 0 < rest_bytes <= length:
        raise DamagedRecord("a WRITE that is none")
    return PartOfWrite(
        flags=flags,
        cookie=cookie,
        offset=offset,
        length=length,
        rest_bytes=rest_bytes,
        failure=failure,
    )


def _failure(fields: list[object]) -> Failure | None:
    if not fields:
        return None
    errno, reason = cast("tuple[int, str]", fields_of(fields, int, str))
    if errno not in set(Errno) or not errno:
        raise DamagedRecord(f"error {errno}")
    return Failure(Errno(errno), reason)
