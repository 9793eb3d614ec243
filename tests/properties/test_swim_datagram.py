"""The decoder: any bytes give a datagram, which encodes to them again, or BadDatagram."""

from hypothesis import given, strategies as st

from config.limits import NODE_NUMBER_MAX
from heartbeat.datagram import (
    HEAD_BYTES,
    ROW_BYTES,
    ROWS_MAX,
    U32_MAX,
    BadDatagram,
    Datagram,
    DatagramKind,
    Message,
    Row,
)
from nodemanager.states import NodeState

nodes = st.integers(0, NODE_NUMBER_MAX)
u64 = st.integers(0, (1 << 64) - 1)
u32 = st.integers(0, U32_MAX)
messages = st.builds(
    Message,
    kind=st.sampled_from(DatagramKind),
    node=nodes,
    incarnation=u64,
    refutation=u32,
    target=nodes,
    probe=u64,
    subject=nodes,
    rows=st.lists(
        st.builds(
            Row,
            nodes,
            st.sampled_from([NodeState.UP, NodeState.SUSPECT, NodeState.DOWN]),
            u64,
            u32,
            nodes,
        ),
        max_size=ROWS_MAX,
    ).map(tuple),
)
datagrams = st.builds(Datagram, message=messages, cluster=u64, counter=u64)


@given(datagrams)
def test_what_is_encoded_is_parsed(datagram: Datagram) -> None:
    data = datagram.encode()
    assert len(data) == HEAD_BYTES + len(datagram.message.rows) * ROW_BYTES
    assert Datagram.parse(data) == datagram


@given(datagrams, st.data())
def test_a_datagram_with_changed_bytes_is_canonical_or_refused(
    datagram: Datagram, data: st.DataObject
) -> None:
    changed = bytearray(datagram.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = Datagram.parse(bytes(changed))
    except BadDatagram:
        return
    assert parsed.encode() == changed


@given(st.binary(max_size=HEAD_BYTES + 40 * ROW_BYTES))
def test_any_bytes_are_refused_by_name_or_canonical(data: bytes) -> None:
    try:
        assert Datagram.parse(data).encode() == data
    except BadDatagram:
        pass
