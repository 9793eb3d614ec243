"""The handshake as transcripts: what the client says, what the server answers."""

import struct

import pytest

from net.errors import LocalProtocolError, RemoteProtocolError
from ramsterd.core.page import PoolId
from ramsterd.nbd.export import Export
from ramsterd.nbd.negotiation import Negotiation, State
from ramsterd.nbd.protocol import (
    NAME_BYTES_MAX,
    OPTION_BYTES_MAX,
    OPTIONS_MAX,
    PAYLOAD_BYTES_MAX,
    Info,
    Option,
    OptionReply,
    TransmissionFlag,
)

DISK = Export(name="disk", size=1 << 20, description="a disk", pool=PoolId(1), object_id=b"disk")
SWAP = Export(name="swap", size=1 << 30, pool=PoolId(1), object_id=b"swap")
FIXED, NO_ZEROES = 1, 2
FLAGS = 1 | 4 | 8 | 32 | 64 | 256


def haggling(flags: int = FIXED | NO_ZEROES) -> Negotiation:
    """Return a handshake that waits for options."""
    negotiation = Negotiation([DISK, SWAP])
    assert negotiation.receive_data(struct.pack(">I", flags)) == b""
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
    assert Negotiation([DISK]).greeting() == b"NBDMAGICIHAVEOPT\x00\x03"


def test_client_flags_nobody_knows_end_the_connection() -> None:
    with pytest.raises(RemoteProtocolError, match="client flags 0x4"):
        Negotiation([DISK]).receive_data(struct.pack(">I", 4))


def test_a_wrong_option_magic_ends_the_connection() -> None:
    with pytest.raises(RemoteProtocolError, match="option magic"):
        haggling().receive_data(b"GET / HTTP/1.1\r\n\r\n")


def test_export_name_answers_size_and_flags() -> None:
    negotiation = haggling()
    answer = negotiation.receive_data(option(Option.EXPORT_NAME, b"swap"))
    assert answer == struct.pack(">QH", SWAP.size, FLAGS)
    assert negotiation.state is State.TRANSMISSION
    assert negotiation.export is SWAP


def test_export_name_pads_for_clients_that_want_zeroes() -> None:
    answer = haggling(FIXED).receive_data(option(Option.EXPORT_NAME, b"swap"))
    assert answer == struct.pack(">QH", SWAP.size, FLAGS) + bytes(124)


def test_a_client_without_fixed_newstyle_may_only_name_an_export() -> None:
    assert haggling(0).receive_data(option(Option.EXPORT_NAME, b"disk"))
    with pytest.raises(RemoteProtocolError, match="without the fixed newstyle"):
        haggling(0).receive_data(option(Option.LIST))


def test_export_name_with_an_unknown_name_ends_the_connection() -> None:
    with pytest.raises(RemoteProtocolError, match="no export is named b'other'"):
        haggling().receive_data(option(Option.EXPORT_NAME, b"other"))


def test_the_empty_name_is_the_first_export() -> None:
    negotiation = haggling()
    negotiation.receive_data(option(Option.GO, named("")))
    assert negotiation.export is DISK


def test_without_exports_no_name_is_known() -> None:
    negotiation = Negotiation([])
    negotiation.receive_data(struct.pack(">I", FIXED))
    answer = negotiation.receive_data(option(Option.GO, named("")))
    assert kinds_of(answer, Option.GO) == [OptionReply.ERR_UNKNOWN]
    with pytest.raises(LocalProtocolError):
        _ = negotiation.export


def test_list_names_every_export_with_its_description() -> None:
    answer = haggling().receive_data(option(Option.LIST))
    assert replies(answer, Option.LIST) == [
        (OptionReply.SERVER, b"\0\0\0\x04diska disk"),
        (OptionReply.SERVER, b"\0\0\0\x04swap"),
        (OptionReply.ACK, b""),
    ]


def test_list_with_data_is_invalid() -> None:
    answer = haggling().receive_data(option(Option.LIST, b"x"))
    assert kinds_of(answer, Option.LIST) == [OptionReply.ERR_INVALID]


def test_info_tells_size_and_block_sizes_and_stays_in_haggling() -> None:
    negotiation = haggling()
    answer = negotiation.receive_data(option(Option.INFO, named("disk")))
    assert replies(answer, Option.INFO) == [
        (OptionReply.INFO, struct.pack(">HQH", Info.EXPORT, DISK.size, FLAGS)),
        (OptionReply.INFO, struct.pack(">HIII", Info.BLOCK_SIZE, 1, 4096, PAYLOAD_BYTES_MAX)),
        (OptionReply.ACK, b""),
    ]
    assert negotiation.state is State.OPTIONS


def test_go_tells_name_and_description_when_asked() -> None:
    negotiation = haggling()
    asked = named("disk", Info.NAME, Info.DESCRIPTION, 77)
    answer = negotiation.receive_data(option(Option.GO, asked))
    bodies = [body for kind, body in replies(answer, Option.GO) if kind is OptionReply.INFO]
    assert b"\x00\x01disk" in bodies
    assert b"\x00\x02a disk" in bodies
    assert negotiation.state is State.TRANSMISSION


def test_an_unknown_name_is_answered_and_another_may_be_tried() -> None:
    negotiation = haggling()
    answer = negotiation.receive_data(option(Option.GO, named("other")))
    assert replies(answer, Option.GO) == [(OptionReply.ERR_UNKNOWN, b"no such export")]
    negotiation.receive_data(option(Option.GO, named("swap")))
    assert negotiation.export is SWAP


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
    answer = haggling().receive_data(option(Option.GO, data))
    assert kinds_of(answer, Option.GO) == [OptionReply.ERR_INVALID]


@pytest.mark.parametrize(
    "number", [Option.STARTTLS, Option.STRUCTURED_REPLY, Option.SET_META_CONTEXT, 4, 11, 4711]
)
def test_what_is_not_spoken_is_unsupported_and_haggling_goes_on(number: int) -> None:
    negotiation = haggling()
    answer = negotiation.receive_data(option(number, b"whatever"))
    assert kinds_of(answer, number) == [OptionReply.ERR_UNSUP]
    assert negotiation.state is State.OPTIONS


def test_abort_is_acknowledged() -> None:
    negotiation = haggling()
    answer = negotiation.receive_data(option(Option.ABORT))
    assert replies(answer, Option.ABORT) == [(OptionReply.ACK, b"")]
    assert negotiation.state is State.ABORTED


def test_an_option_over_the_limit_ends_the_connection() -> None:
    fits = option(4711, bytes(OPTION_BYTES_MAX))
    assert kinds_of(haggling().receive_data(fits), 4711) == [OptionReply.ERR_UNSUP]
    with pytest.raises(RemoteProtocolError, match="option of 8193 bytes"):
        haggling().receive_data(b"IHAVEOPT" + struct.pack(">II", 1, OPTION_BYTES_MAX + 1))


def test_options_without_end_end_the_connection() -> None:
    negotiation = haggling()
    negotiation.receive_data(option(Option.LIST) * OPTIONS_MAX)
    with pytest.raises(RemoteProtocolError, match="more than 1024 options"):
        negotiation.receive_data(option(Option.LIST))


def test_requests_that_follow_at_once_are_left_for_the_transmission() -> None:
    negotiation = haggling()
    negotiation.receive_data(option(Option.GO, named("disk")) + b"request")
    assert negotiation.rest == b"request"


def test_every_chunking_gives_the_same_answer() -> None:
    said = struct.pack(">I", 3) + option(Option.LIST) + option(Option.GO, named("disk", 1)) + b"x"
    whole = Negotiation([DISK, SWAP])
    expected = whole.receive_data(said)
    for step in (1, 2, 7, 19):
        negotiation = Negotiation([DISK, SWAP])
        chunks = [said[at : at + step] for at in range(0, len(said), step)]
        assert b"".join(map(negotiation.receive_data, chunks)) == expected
        assert negotiation.rest == b"x"


def test_flags_do_not_promise_what_is_not_there() -> None:
    flags = TransmissionFlag(FLAGS)
    for missing in (TransmissionFlag.READ_ONLY, TransmissionFlag.ROTATIONAL):
        assert missing not in flags
    assert TransmissionFlag.SEND_DF not in flags
