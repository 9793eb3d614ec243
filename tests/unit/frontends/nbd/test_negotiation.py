"""The handshake as transcripts: what the client says, what the server answers."""

import struct

import pytest

from net.errors import LocalProtocolError, RemoteProtocolError
from ramsterd.core.page import PoolId
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.negotiation import State
from ramsterd.frontends.nbd.protocol import (
    NAME_BYTES_MAX,
    OPTION_BYTES_MAX,
    OPTIONS_MAX,
    PAYLOAD_BYTES_MAX,
    REFUSED_OPTION_BYTES_MAX,
    Info,
    Option,
    OptionReply,
    TransmissionFlag,
)
from ramsterd.frontends.nbd.session import Session
from tests.fakes.nbd_words import Handshake

DISK = Export(name="disk", size=1 << 20, description="a disk", pool=PoolId(1), object_id=b"disk")
SWAP = Export(name="swap", size=1 << 30, pool=PoolId(1), object_id=b"swap")
FIXED, NO_ZEROES = 1, 2
FLAGS = 1 | 4 | 8 | 32 | 64 | 256 | 1024 | 2048


def haggling(flags: int = FIXED | NO_ZEROES) -> Handshake:
    """Return a handshake that waits for options."""
    negotiation = Handshake([DISK, SWAP])
    assert negotiation.hear(struct.pack(">I", flags)) == b""
    assert negotiation.state is State.OPTIONS
    return negotiation


def option(number: int, data: bytes = b"") -> bytes:
    return b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data


def named(name: str, *kinds: int) -> bytes:
    encoded = name.encode()
    body = struct.pack(">I", len(encoded)) + encoded
    return body + struct.pack(f">H{len(kinds)}H", len(kinds), *kinds)


def replies(data: bytes, to: int) -> list[tuple[OptionReply, bytes]]:
    """Split what the server answered to one option."""
    found = []
    while data:
        magic, answered, kind, count = struct.unpack_from(">QIII", data)
        assert (magic, answered) == (0x3E889045565A9, to)
        found.append((OptionReply(kind), data[20 : 20 + count]))
        data = data[20 + count :]
    return found


def kinds_of(data: bytes, to: int) -> list[OptionReply]:
    return [kind for kind, _ in replies(data, to)]


def test_the_greeting_offers_fixed_newstyle_and_no_zeroes() -> None:
    assert Handshake([DISK]).greeting() == b"NBDMAGICIHAVEOPT\x00\x03"


def test_client_flags_nobody_knows_end_the_connection() -> None:
    with pytest.raises(RemoteProtocolError, match="client flags 0x4"):
        Handshake([DISK]).hear(struct.pack(">I", 4))


def test_a_wrong_option_magic_ends_the_connection() -> None:
    with pytest.raises(RemoteProtocolError, match="option magic"):
        haggling().hear(b"GET / HTTP/1.1\r\n\r\n")


def test_export_name_answers_size_and_flags() -> None:
    negotiation = haggling()
    answer = negotiation.hear(option(Option.EXPORT_NAME, b"swap"))
    assert answer == struct.pack(">QH", SWAP.size, FLAGS)
    assert negotiation.state is State.TRANSMISSION
    assert negotiation.session.export is SWAP


def test_export_name_pads_for_clients_that_want_zeroes() -> None:
    answer = haggling(FIXED).hear(option(Option.EXPORT_NAME, b"swap"))
    assert answer == struct.pack(">QH", SWAP.size, FLAGS) + bytes(124)


def test_a_client_without_fixed_newstyle_may_only_name_an_export() -> None:
    assert haggling(0).hear(option(Option.EXPORT_NAME, b"disk"))
    with pytest.raises(RemoteProtocolError, match="without the fixed newstyle"):
        haggling(0).hear(option(Option.LIST))


def test_export_name_with_an_unknown_name_ends_the_connection() -> None:
    with pytest.raises(RemoteProtocolError, match="no export is named b'other'"):
        haggling().hear(option(Option.EXPORT_NAME, b"other"))


def test_the_empty_name_is_the_first_export() -> None:
    negotiation = haggling()
    negotiation.hear(option(Option.GO, named("")))
    assert negotiation.session.export is DISK


def test_without_exports_no_name_is_known() -> None:
    negotiation = Handshake([])
    negotiation.hear(struct.pack(">I", FIXED))
    answer = negotiation.hear(option(Option.GO, named("")))
    assert kinds_of(answer, Option.GO) == [OptionReply.ERR_UNKNOWN]
    with pytest.raises(LocalProtocolError):
        _ = negotiation.session


def test_list_names_every_export_with_its_description() -> None:
    answer = haggling().hear(option(Option.LIST))
    assert replies(answer, Option.LIST) == [
        (OptionReply.SERVER, b"\0\0\0\x04diska disk"),
        (OptionReply.SERVER, b"\0\0\0\x04swap"),
        (OptionReply.ACK, b""),
    ]


def test_list_with_data_is_invalid() -> None:
    answer = haggling().hear(option(Option.LIST, b"x"))
    assert kinds_of(answer, Option.LIST) == [OptionReply.ERR_INVALID]


def test_info_tells_size_and_block_sizes_and_stays_in_haggling() -> None:
    negotiation = haggling()
    answer = negotiation.hear(option(Option.INFO, named("disk")))
    assert replies(answer, Option.INFO) == [
        (OptionReply.INFO, struct.pack(">HQH", Info.EXPORT, DISK.size, FLAGS)),
        (OptionReply.INFO, struct.pack(">HIII", Info.BLOCK_SIZE, 1, 4096, PAYLOAD_BYTES_MAX)),
        (OptionReply.ACK, b""),
    ]
    assert negotiation.state is State.OPTIONS


def test_go_tells_name_and_description_when_asked() -> None:
    negotiation = haggling()
    asked = named("disk", Info.NAME, Info.DESCRIPTION, 77)
    answer = negotiation.hear(option(Option.GO, asked))
    bodies = [body for kind, body in replies(answer, Option.GO) if kind is OptionReply.INFO]
    assert b"\x00\x01disk" in bodies
    assert b"\x00\x02a disk" in bodies
    assert negotiation.state is State.TRANSMISSION


def test_an_unknown_name_is_answered_and_another_may_be_tried() -> None:
    negotiation = haggling()
    answer = negotiation.hear(option(Option.GO, named("other")))
    assert replies(answer, Option.GO) == [(OptionReply.ERR_UNKNOWN, b"no such export")]
    negotiation.hear(option(Option.GO, named("swap")))
    assert negotiation.session.export is SWAP


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0\0",
        struct.pack(">I", 5) + b"disk" + b"\0\0",
        struct.pack(">I", 0xFFFFFFFF) + b"\0\0",
        struct.pack(">I", NAME_BYTES_MAX + 1) + bytes(NAME_BYTES_MAX + 1) + b"\0\0",
        named("disk", 1, 2)[:-1],
        named("disk") + b"\0",
    ],
)
def test_malformed_go_is_invalid(data: bytes) -> None:
    answer = haggling().hear(option(Option.GO, data))
    assert kinds_of(answer, Option.GO) == [OptionReply.ERR_INVALID]


@pytest.mark.parametrize("number", [Option.STARTTLS, 4, 11, 4711])
def test_what_is_not_spoken_is_unsupported_and_haggling_goes_on(number: int) -> None:
    negotiation = haggling()
    answer = negotiation.hear(option(number, b"whatever"))
    assert kinds_of(answer, number) == [OptionReply.ERR_UNSUP]
    assert negotiation.state is State.OPTIONS


def test_abort_is_acknowledged() -> None:
    negotiation = haggling()
    answer = negotiation.hear(option(Option.ABORT))
    assert replies(answer, Option.ABORT) == [(OptionReply.ACK, b"")]
    assert negotiation.state is State.ABORTED


def test_an_option_over_the_limit_is_skipped_and_told_to_be_too_big() -> None:
    negotiation = haggling()
    fits = option(4711, bytes(OPTION_BYTES_MAX))
    assert kinds_of(negotiation.hear(fits), 4711) == [OptionReply.ERR_UNSUP]
    longer = option(4711, bytes(OPTION_BYTES_MAX + 1))
    answer = b"".join(
        negotiation.hear(longer[at : at + 1000]) for at in range(0, len(longer), 1000)
    )
    assert kinds_of(answer, 4711) == [OptionReply.ERR_TOO_BIG]
    assert kinds_of(negotiation.hear(option(4711)), 4711) == [OptionReply.ERR_UNSUP]


@pytest.mark.parametrize(
    ("number", "bytes_max"),
    [(4711, REFUSED_OPTION_BYTES_MAX), (Option.EXPORT_NAME, OPTION_BYTES_MAX)],
)
def test_an_option_that_cannot_be_refused_ends_the_connection(number: int, bytes_max: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"option of {bytes_max + 1} bytes"):
        haggling().hear(b"IHAVEOPT" + struct.pack(">II", number, bytes_max + 1))


def test_options_without_end_end_the_connection() -> None:
    negotiation = haggling()
    negotiation.hear(option(Option.LIST) * OPTIONS_MAX)
    with pytest.raises(RemoteProtocolError, match="more than 1024 options"):
        negotiation.hear(option(Option.LIST))


def test_an_option_is_not_looked_at_before_the_answer_to_the_one_before_is_taken() -> None:
    """Sixteen bytes ask for the list of all exports: what a client does not take must not pile up here."""
    negotiation = haggling()
    answers = negotiation.receive_data(option(Option.LIST) * 200)
    assert kinds_of(next(answers), Option.LIST)[-1] is OptionReply.ACK
    assert negotiation.rest == option(Option.LIST) * 199
    assert len(list(answers)) == 199


def test_requests_that_follow_at_once_are_left_for_the_transmission() -> None:
    negotiation = haggling()
    negotiation.hear(option(Option.GO, named("disk")) + b"request")
    assert negotiation.rest == b"request"


def test_every_chunking_gives_the_same_answer() -> None:
    said = struct.pack(">I", 3) + option(Option.LIST) + option(Option.GO, named("disk", 1)) + b"x"
    whole = Handshake([DISK, SWAP])
    expected = whole.hear(said)
    for step in (1, 2, 7, 19):
        negotiation = Handshake([DISK, SWAP])
        chunks = [said[at : at + step] for at in range(0, len(said), step)]
        assert b"".join(map(negotiation.hear, chunks)) == expected
        assert negotiation.rest == b"x"


def structured(flags: int = FIXED | NO_ZEROES) -> Handshake:
    """Return a handshake with structured replies."""
    negotiation = haggling(flags)
    answer = negotiation.hear(option(Option.STRUCTURED_REPLY))
    assert kinds_of(answer, Option.STRUCTURED_REPLY) == [OptionReply.ACK]
    return negotiation


def contexts(name: str, *queries: str) -> bytes:
    body = struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(queries))
    return body + b"".join(struct.pack(">I", len(each)) + each.encode() for each in queries)


ALLOCATION = b"base:allocation"


def test_structured_replies_are_agreed_on_and_bring_df() -> None:
    negotiation = structured()
    answer = negotiation.hear(option(Option.GO, named("disk")))
    flags = struct.unpack(">HQH", replies(answer, Option.GO)[0][1])[2]
    assert flags & TransmissionFlag.SEND_DF
    assert negotiation.session == Session(export=DISK, is_structured=True)


def test_structured_reply_with_data_is_invalid() -> None:
    negotiation = haggling()
    answer = negotiation.hear(option(Option.STRUCTURED_REPLY, b"x"))
    assert kinds_of(answer, Option.STRUCTURED_REPLY) == [OptionReply.ERR_INVALID]
    negotiation.hear(option(Option.GO, named("disk")))
    assert not negotiation.session.is_structured


@pytest.mark.parametrize("number", [Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT])
def test_contexts_without_structured_replies_are_invalid(number: Option) -> None:
    answer = haggling().hear(option(number, contexts("disk", "base:allocation")))
    assert kinds_of(answer, number) == [OptionReply.ERR_INVALID]


@pytest.mark.parametrize(
    ("queries", "is_found"),
    [
        ([], True),
        (["base:"], True),
        (["base:allocation"], True),
        (["qemu:dirty-bitmap:x", "base:allocation"], True),
        (["base:alloc"], False),
        (["qemu:"], False),
        (["no colon"], False),
        ([""], False),
    ],
)
def test_contexts_are_listed_by_query(queries: list[str], is_found: bool) -> None:
    asked = option(Option.LIST_META_CONTEXT, contexts("disk", *queries))
    answers = replies(structured().hear(asked), Option.LIST_META_CONTEXT)
    found = [(OptionReply.META_CONTEXT, b"\0\0\0\0" + ALLOCATION)] if is_found else []
    assert answers == [*found, (OptionReply.ACK, b"")]


@pytest.mark.parametrize(
    ("queries", "is_selected"),
    [
        (["base:allocation"], True),
        (["x-mine:all", "base:allocation", "base:allocation"], True),
        ([], False),
        (["base:"], False),
        (["base:allocations"], False),
    ],
)
def test_contexts_are_selected_by_their_whole_name(queries: list[str], is_selected: bool) -> None:
    negotiation = structured()
    asked = option(Option.SET_META_CONTEXT, contexts("disk", *queries))
    answers = replies(negotiation.hear(asked), Option.SET_META_CONTEXT)
    found = [(OptionReply.META_CONTEXT, b"\0\0\0\x01" + ALLOCATION)] if is_selected else []
    assert answers == [*found, (OptionReply.ACK, b"")]
    negotiation.hear(option(Option.GO, named("disk")))
    assert negotiation.session.has_allocation == is_selected


def test_a_context_counts_for_the_export_that_it_was_selected_for() -> None:
    negotiation = structured()
    negotiation.hear(option(Option.SET_META_CONTEXT, contexts("disk", "base:allocation")))
    negotiation.hear(option(Option.GO, named("swap")))
    assert not negotiation.session.has_allocation


@pytest.mark.parametrize(
    "second", [contexts("disk"), contexts("other", "base:allocation"), b"malformed"]
)
def test_a_later_selection_replaces_the_first_even_when_it_fails(second: bytes) -> None:
    negotiation = structured()
    negotiation.hear(option(Option.SET_META_CONTEXT, contexts("disk", "base:allocation")))
    negotiation.hear(option(Option.SET_META_CONTEXT, second))
    negotiation.hear(option(Option.GO, named("disk")))
    assert not negotiation.session.has_allocation


@pytest.mark.parametrize("number", [Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT])
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (contexts("other", "base:allocation"), OptionReply.ERR_UNKNOWN),
        (b"", OptionReply.ERR_INVALID),
        (contexts("disk", "base:allocation")[:-1], OptionReply.ERR_INVALID),
        (contexts("disk", "base:allocation") + b"x", OptionReply.ERR_INVALID),
        (contexts("disk")[:-4], OptionReply.ERR_INVALID),
        (contexts("disk")[:-4] + b"\xff" * 4, OptionReply.ERR_INVALID),
        (struct.pack(">I", 0xFFFFFFFF) + b"disk", OptionReply.ERR_INVALID),
    ],
)
def test_bad_context_queries_are_answered(number: Option, data: bytes, kind: OptionReply) -> None:
    negotiation = structured()
    assert kinds_of(negotiation.hear(option(number, data)), number) == [kind]
    assert negotiation.state is State.OPTIONS


def test_an_export_without_room_for_one_more_client_is_refused_by_name() -> None:
    negotiation = Handshake(
        [DISK, SWAP], lambda export: "" if export is SWAP else "too many clients of export disk"
    )
    negotiation.hear(struct.pack(">I", FIXED | NO_ZEROES))
    answer = negotiation.hear(option(Option.INFO, named("disk")))
    assert kinds_of(answer, Option.INFO)[-1] is OptionReply.ACK
    answer = negotiation.hear(option(Option.GO, named("disk")))
    assert replies(answer, Option.GO) == [
        (OptionReply.ERR_POLICY, b"too many clients of export disk")
    ]
    negotiation.hear(option(Option.GO, named("swap")))
    assert negotiation.session.export is SWAP


def test_a_full_export_that_is_only_named_ends_the_connection() -> None:
    negotiation = Handshake([DISK], lambda _: "too many clients of export disk")
    negotiation.hear(struct.pack(">I", FIXED | NO_ZEROES))
    with pytest.raises(RemoteProtocolError, match="too many clients of export disk"):
        negotiation.hear(option(Option.EXPORT_NAME, b"disk"))
