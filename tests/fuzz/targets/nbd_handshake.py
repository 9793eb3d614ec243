"""Any bytes of an NBD client are answered, choose an export or raise RemoteProtocolError, the same however they are cut; little is kept and answers are short."""

import random
import struct
from collections.abc import Mapping
from typing import Final

from config.limits import PAGE_BYTES
from net.errors import LocalProtocolError, RemoteProtocolError
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.negotiation import Negotiation, State
from ramsterd.frontends.nbd.protocol import (
    CLIENT_FLAGS,
    OPTION,
    OPTION_BYTES_MAX,
    OPTION_MAGIC,
    OPTION_REPLY,
    OPTION_REPLY_MAGIC,
    ClientFlag,
    Info,
    Option,
    OptionReply,
)
from tests.fuzz.target import Target, pieces

EXPORTS: Final = [
    Export(name="disk", size=8 * PAGE_BYTES, pool=PoolId(1), object_id=b"disk", description="a"),
    Export(name="full", size=PAGE_BYTES, pool=PoolId(1), object_id=b"full", is_read_only=True),
]
# The connection receives so much at a time.
RECEIVE_BYTES: Final = 4096
# LIST says most: each export with a name and a description.
ANSWER_BYTES_MAX: Final = 4096
FLAGS: Final = CLIENT_FLAGS.pack(ClientFlag.C_FIXED_NEWSTYLE | ClientFlag.C_NO_ZEROES)
NUMBERS: Final = sorted(Option)


def why_full(export: Export) -> str:
    return "too many clients" if export.name == "full" else ""


def talk(stream: bytes, rule: int) -> tuple[Negotiation, list[bytes], str]:
    """Return the server's side, its answers, and why it gave up."""
    negotiation = Negotiation(EXPORTS, why_full)
    answers: list[bytes] = []
    unread = b""
    for piece in pieces(stream, rule):
        unread += piece
        while unread and negotiation.state in {State.CLIENT_FLAGS, State.OPTIONS}:
            try:
                answers += negotiation.receive_data(unread[:RECEIVE_BYTES])
            except RemoteProtocolError as error:
                return negotiation, answers, str(error)
            unread = unread[RECEIVE_BYTES:]
            if negotiation.state is State.OPTIONS:
                assert len(negotiation.rest) < OPTION.size + OPTION_BYTES_MAX
    negotiation.rest += unread
    return negotiation, answers, ""


def check(data: bytes) -> set[str]:
    """The first byte says how the rest is cut."""
    rule, stream = data[:1], data[1:]
    negotiation, answers, reason = talk(stream, 0)
    if rule:
        other, other_answers, other_reason = talk(stream, rule[0])
        assert (other.state, other_answers, other_reason) == (negotiation.state, answers, reason)
        if negotiation.state is State.TRANSMISSION:
            assert (other.session, other.rest) == (negotiation.session, negotiation.rest)
    outcomes = {negotiation.state.name}
    if reason:
        assert reason.isprintable(), "it stands in a log"
        outcomes.add(reason.split(maxsplit=2)[0])
    for answer in answers:
        assert len(answer) <= ANSWER_BYTES_MAX
        outcomes |= parse_answer(answer)
    return outcomes | parse_end(negotiation, reason)


def parse_answer(answer: bytes) -> set[str]:
    """Return what an answer says; it must be whole replies, or what EXPORT_NAME gets."""
    found: set[str] = set()
    if len(answer) in {10, 134} and not answer.startswith(OPTION_REPLY_MAGIC.to_bytes(8)):
        return {"export name"}
    while answer:
        magic, option, reply, count = OPTION_REPLY.unpack_from(answer)
        assert magic == OPTION_REPLY_MAGIC
        assert len(answer) >= OPTION_REPLY.size + count
        answer = answer[OPTION_REPLY.size + count :]
        known = Option(option).name if option in NUMBERS else "unknown"
        found.add(f"{known} {OptionReply(reply).name}")
    return found


def parse_end(negotiation: Negotiation, reason: str) -> set[str]:
    try:
        session = negotiation.session
    except LocalProtocolError:
        assert negotiation.state is not State.TRANSMISSION
        return set()
    assert negotiation.state is State.TRANSMISSION
    assert not reason
    assert not why_full(session.export)
    structured = {"structured"} if session.is_structured else set()
    return structured | ({"allocation"} if session.has_allocation else set())


def option(number: int, data: bytes = b"") -> bytes:
    return OPTION.pack(OPTION_MAGIC, number, len(data)) + data


def name_and_kinds(name: bytes, *kinds: int) -> bytes:
    return struct.pack(f">I{len(name)}sH{len(kinds)}H", len(name), name, len(kinds), *kinds)


def contexts(name: bytes, *queries: bytes) -> bytes:
    body = struct.pack(f">I{len(name)}sI", len(name), name, len(queries))
    return body + b"".join(struct.pack(">I", len(query)) + query for query in queries)


def seeds() -> Mapping[str, bytes]:
    structured = option(Option.STRUCTURED_REPLY)
    selects = option(Option.SET_META_CONTEXT, contexts(b"disk", b"base:allocation"))
    return {
        "go": b"\x01" + FLAGS + option(Option.GO, name_and_kinds(b"disk", *Info)) + b"request",
        "all": b"\x03"
        + FLAGS
        + option(Option.LIST)
        + option(Option.INFO, name_and_kinds(b"", Info.NAME, Info.BLOCK_SIZE))
        + structured
        + option(Option.LIST_META_CONTEXT, contexts(b"disk"))
        + option(Option.LIST_META_CONTEXT, contexts(b"disk", b"x-y:z"))
        + selects
        + option(Option.GO, name_and_kinds(b"disk")),
        "refused": b"\x02"
        + FLAGS
        + option(Option.LIST, b"x")
        + structured[:-4]
        + b"\0\0\0\1x"
        + selects
        + option(Option.STARTTLS)
        + option(99)
        + option(Option.INFO, b"\0\0")
        + option(Option.GO, name_and_kinds(b"none"))
        + option(Option.GO, name_and_kinds(b"full"))
        + structured
        + option(Option.SET_META_CONTEXT, contexts(b"none"))
        + option(Option.SET_META_CONTEXT, b"\0\0\0\1")
        + option(99, bytes(OPTION_BYTES_MAX + 1))
        + option(Option.ABORT),
        "export-name": b"\x01" + FLAGS + option(Option.EXPORT_NAME, b"disk"),
        "export-name-padded": b"\x01" + bytes(4) + option(Option.EXPORT_NAME),
        "no-such-name": b"\x00" + FLAGS + option(Option.EXPORT_NAME, b"none"),
        "too-many": b"\x00" + FLAGS + option(Option.EXPORT_NAME, b"full"),
        "lying-lengths": b"\x00"
        + FLAGS
        + option(Option.GO, b"\0\0\1\0disk\0\0")
        + option(Option.GO, b"\0\0\0\4disk\0\1")
        + option(Option.STRUCTURED_REPLY)
        + option(Option.SET_META_CONTEXT, b"\0\0\1\0disk\0\0\0\0"),
        "not-fixed": b"\x00" + bytes(4) + option(Option.LIST),
        "bad-flags": b"\x01" + b"\xff\0\0\3",
        "bad-magic": b"\x00" + FLAGS + b"GET / HTTP/1.1\r\n\r\n",
        "too-long": b"\x00" + FLAGS + OPTION.pack(OPTION_MAGIC, Option.LIST, 1 << 31),
        "cut": b"\x00" + FLAGS + structured + selects[:25],
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Make flags and options that can be, whose data are there."""
    stream = data[1 + CLIENT_FLAGS.size :]
    flags = CLIENT_FLAGS.pack(data[CLIENT_FLAGS.size] & 3) if len(data) > 4 else data[1:5]
    repaired = data[:1] + flags
    while len(stream) >= OPTION.size:
        _, number, count = OPTION.unpack_from(stream)
        body = stream[OPTION.size :][:count]
        stream = stream[OPTION.size + len(body) :]
        number = number if number in NUMBERS or rng.random() < 0.2 else NUMBERS[number % 9]
        repaired += option(number, repair_lengths(number, body))
    return repaired + stream


def repair_lengths(number: int, body: bytes) -> bytes:
    """Say how long the strings are that are there, where an option has strings."""
    match number:
        case Option.INFO | Option.GO if len(body) >= 6:
            name_bytes = body[3] % (len(body) - 5)
            kinds = body[6 + name_bytes :]
            head = struct.pack(">I", name_bytes) + body[4 : 4 + name_bytes]
            return head + struct.pack(">H", len(kinds) // 2) + kinds[: len(kinds) // 2 * 2]
        case Option.LIST_META_CONTEXT | Option.SET_META_CONTEXT if len(body) >= 12:
            name_bytes = body[3] % min(len(body) - 11, 8)
            query = body[12 + name_bytes :]
            return contexts(body[4 : 4 + name_bytes], query) if query else body
    return body


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        [
            "CLIENT_FLAGS", "OPTIONS", "TRANSMISSION", "ABORTED", "structured", "allocation", "export name",
            "LIST SERVER", "LIST ACK", "LIST ERR_INVALID", "INFO INFO", "INFO ACK", "INFO ERR_INVALID", "GO INFO",
            "GO ACK", "GO ERR_UNKNOWN", "GO ERR_INVALID", "GO ERR_POLICY", "STRUCTURED_REPLY ACK", "STRUCTURED_REPLY ERR_INVALID",
            "LIST_META_CONTEXT META_CONTEXT", "LIST_META_CONTEXT ACK", "SET_META_CONTEXT META_CONTEXT",
            "SET_META_CONTEXT ERR_INVALID", "SET_META_CONTEXT ERR_UNKNOWN", "STARTTLS ERR_UNSUP",
            "unknown ERR_UNSUP", "unknown ERR_TOO_BIG", "ABORT ACK", "no", "too", "option", "client",
        ]
    ),
    repair=repair,
    bytes_max=16384,
    tokens=(b"IHAVEOPT", b"disk", b"full", b"base:", b"base:allocation"),
)  # fmt: skip
