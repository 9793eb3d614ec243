"""The document of a handover: what comes back, and what is refused."""

import struct
from dataclasses import replace

import pytest

from net.packing import pack_fields
from ramsterd.core.codec import checksum_of
from ramsterd.handover import document as documents
from ramsterd.handover.document import (
    HEADER_BYTES,
    UNREAD_BYTES_MAX,
    UNSENT_BYTES_MAX,
    VERSION,
    ConnectionRecord,
    DamagedDocument,
    Document,
    Endpoint,
    FrontEnd,
    ListenerRecord,
    decode,
    encode,
    record_bytes,
)

LISTENER = ListenerRecord(endpoint=Endpoint.TMEM, address="/run/ramster/tmem.sock", inode=77)
CONNECTION = ConnectionRecord(
    front_end=FrontEnd.NBD, state=["disk", 1 << 40, True, [b"cookie", None]], unread=b"abc"
)
DOCUMENT = Document(
    memory_id=b"m" * 16,
    restart_id="4f",
    paused_at_nanoseconds=123_456_789,
    is_stored=True,
    listeners=(LISTENER,),
    connections=(CONNECTION, replace(CONNECTION, front_end=FrontEnd.TMEM, unsent=b"xyz")),
)


def sealed(body: bytes, *, version: int = VERSION) -> bytes:
    header = struct.pack("<8sIIQ", b"ramconns", version, 0, len(body))
    return header + struct.pack("<Q", checksum_of(header + body)) + body


def with_records(listener: object, connection: object) -> bytes:
    return sealed(pack_fields([b"m", "4f", 1, False, [listener], [connection]]))


def test_a_document_comes_back_as_it_was_written() -> None:
    assert decode(encode(DOCUMENT)) == DOCUMENT
    empty = Document(memory_id=b"", restart_id="", paused_at_nanoseconds=0)
    assert decode(encode(empty)) == empty


def test_whatever_byte_is_cut_or_changed_is_found() -> None:
    data = encode(DOCUMENT)
    for place in range(len(data)):
        with pytest.raises(DamagedDocument):
            decode(data[:place])
        with pytest.raises(DamagedDocument):
            decode(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])
    with pytest.raises(DamagedDocument, match="cut, or changed"):
        decode(data + b"\x00")


def test_another_version_is_refused_by_its_number() -> None:
    body = encode(DOCUMENT)[HEADER_BYTES:]
    with pytest.raises(DamagedDocument, match="version 2, expected 1"):
        decode(sealed(body, version=2))


@pytest.mark.parametrize("body", [b"", b"\xc1", pack_fields([b"", "", 0, True, []]), b"\x01"])
def test_what_is_no_list_of_records_is_refused(body: bytes) -> None:
    with pytest.raises(DamagedDocument):
        decode(sealed(body))


def test_too_many_listeners_and_a_long_memory_id_are_refused() -> None:
    for fields in ([b"m", "", 0, False, [[3, "", 0]] * 17, []], [b"m" * 65, "", 0, True, [], []]):
        with pytest.raises(DamagedDocument, match="limit"):
            decode(sealed(pack_fields(fields)))


@pytest.mark.parametrize(
    "listener", [[99, "", 0], [1, b"", 0], [1, "", True], [1, ""], None, {}, "x"]
)
def test_a_listening_socket_that_means_nothing_spoils_no_other_record(listener: object) -> None:
    found = decode(with_records(listener, [1, ["disk"], b"", b""]))
    assert found.listeners == (None,)
    assert found.connections == (ConnectionRecord(front_end=FrontEnd.NBD, state=["disk"]),)


@pytest.mark.parametrize(
    "connection", [[99, [], b"", b""], [1, {}, b"", b""], [1, [], "", b""], [1, [], b""], 7]
)
def test_a_connection_that_means_nothing_spoils_no_other_record(connection: object) -> None:
    found = decode(with_records([3, "/run/ramster/tmem.sock", 77], connection))
    assert found.listeners == (LISTENER,)
    assert found.connections == (None,)


def test_the_longest_record_fits() -> None:
    longest = replace(CONNECTION, unread=bytes(UNREAD_BYTES_MAX), unsent=bytes(UNSENT_BYTES_MAX))
    document = replace(DOCUMENT, connections=(longest,))
    assert decode(encode(document)) == document


def test_records_are_no_longer_than_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector of records counts on it."""
    empty = replace(DOCUMENT, connections=())
    many = replace(DOCUMENT, connections=(CONNECTION,) * 40)
    assert len(encode(many)) - len(encode(empty)) <= 40 * record_bytes(CONNECTION) + 5
    assert documents.CONNECTIONS_MAX * record_bytes(CONNECTION) < documents.DOCUMENT_BYTES_MAX
