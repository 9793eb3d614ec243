"""Any bytes of a document are records that come back as they are, or DamagedDocument; and each record is a session or none."""

import random
import struct
from collections.abc import Mapping

from config.model import PoolCodec
from ramsterd.core.codec import checksum_of
from ramsterd.core.page import PoolId, PoolKind
from ramsterd.frontends.nbd import handed as nbd
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.failures import NO_SPACE
from ramsterd.frontends.nbd.payloads import PartOfRefused, PartOfWrite
from ramsterd.frontends.nbd.session import Session
from ramsterd.frontends.tmem import handed as tmem
from ramsterd.handover.document import (
    HEADER_BYTES,
    ConnectionRecord,
    DamagedDocument,
    DamagedRecord,
    Document,
    Endpoint,
    FrontEnd,
    ListenerRecord,
    decode,
    encode,
)
from tests.fuzz.target import Target

EXPORT = Export(name="disk", size=1 << 20, pool=PoolId(1), object_id=b"d")
PLAIN = Session(export=EXPORT)
SUM = struct.Struct("<Q")
SUM_AT = HEADER_BYTES - SUM.size


def check(data: bytes) -> set[str]:
    try:
        document = decode(data)
    except DamagedDocument as error:
        assert len(str(error)) < 300
        return {"damaged"}
    outcomes = {"document"}
    for record in document.connections:
        outcomes.add("no record" if record is None else judge(record))
    if None not in (*document.connections, *document.listeners):
        assert decode(encode(document)) == document
    return outcomes


def judge(record: ConnectionRecord) -> str:
    """A record that leads to a session is the record of that session."""
    try:
        if record.front_end is FrontEnd.NBD:
            handed = nbd.handed_from(record, [EXPORT])
            assert nbd.handed_from(nbd.record_of(handed), [EXPORT]) == handed
            return "nbd"
        found = tmem.handed_from(record)
        assert tmem.handed_from(tmem.record_of(found)) == found
    except DamagedRecord as error:
        assert str(error)
        return "damaged record"
    return "tmem"


def document_of(*connections: ConnectionRecord) -> bytes:
    listener = ListenerRecord(endpoint=Endpoint.NBD_UNIX, address="/run/nbd", inode=7)
    return encode(
        Document(
            memory_id=b"m" * 16,
            restart_id="4f",
            paused_at_nanoseconds=1,
            listeners=(listener,),
            connections=connections,
        )
    )


def seeds() -> Mapping[str, bytes]:
    cookie = b"c" * 8
    write = PartOfWrite(
        flags=1, cookie=cookie, offset=4096, length=8192, rest_bytes=9, failure=NO_SPACE
    )
    refused = PartOfRefused(cookie=cookie, rest_bytes=7, failure=NO_SPACE)
    records = [nbd.record_of(nbd.Handed(PLAIN, part, b"", b"")) for part in (None, write, refused)]
    pool = tmem.HandedPool(
        number=1,
        pool=PoolId(2),
        kind=PoolKind.PERSISTENT,
        codec=PoolCodec.LZ4,
        name="n",
        is_exclusive=True,
    )
    pools = tmem.HandedPools(last=1, pools=(pool,))
    program = tmem.record_of(tmem.Handed(client_name="p", is_greeted=True, pools=pools))
    return {
        "nothing": document_of(),
        "nbd": document_of(*records),
        "tmem": document_of(program),
        "no-export": document_of(ConnectionRecord(front_end=FrontEnd.NBD, state=["x"])),
        "unknown": repair(document_of(*records).replace(b"disk", b"disl"), random.Random(0)),
        "no-front-end": repair(
            document_of(ConnectionRecord(front_end=FrontEnd.TMEM, state=[7])).replace(
                b"\x94\x02\x91\x07", b"\x94\x63\x91\x07"
            ),
            random.Random(0),
        ),
        "cut": document_of(program)[:-1],
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    """Give it its length and its checksum."""
    if len(data) < HEADER_BYTES:
        return data
    body = data[HEADER_BYTES:]
    header = struct.pack("<8sIIQ", b"ramconns", 1, 0, len(body))
    return header + SUM.pack(checksum_of(header + body)) + body


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset({"damaged", "document", "nbd", "tmem", "no record", "damaged record"}),
    repair=repair,
)
