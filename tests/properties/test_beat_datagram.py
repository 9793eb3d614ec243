"""Any bytes are a beat or BadDatagram, and what parses is what was written."""

from hypothesis import given, strategies as st

from config.limits import NODE_NUMBER_MAX
from heartbeat.datagram import DATAGRAM_BYTES, U64_MAX, BadDatagram, Beat
from heartbeat.door import Door, Drop
from nodemanager.ids import Incarnation, NodeId
from tests.unit.nodemanager.clusters import cluster_of

U64 = st.integers(0, U64_MAX)
BEATS = st.builds(
    Beat,
    cluster=U64,
    node=st.integers(0, NODE_NUMBER_MAX).map(NodeId),
    incarnation=U64.map(Incarnation),
    sequence=U64,
)


@st.composite
def almost_beats(draw: st.DrawFn) -> bytes:
    """A beat with a few bytes changed, a piece cut off, or some added."""
    datagram = bytearray(draw(BEATS).encode())
    for _ in range(draw(st.integers(0, 2))):
        datagram[draw(st.integers(0, DATAGRAM_BYTES - 1))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.just(DATAGRAM_BYTES), st.integers(0, DATAGRAM_BYTES)))
    return bytes(datagram[:cut]) + draw(st.one_of(st.just(b""), st.binary(max_size=3)))


ANY_BYTES = st.one_of(almost_beats(), st.binary(max_size=64))


@given(BEATS)
def test_every_beat_makes_the_round_trip(beat: Beat) -> None:
    assert len(beat.encode()) == DATAGRAM_BYTES
    assert Beat.parse(beat.encode()) == beat


@given(ANY_BYTES)
def test_any_bytes_are_a_beat_or_the_named_error(datagram: bytes) -> None:
    try:
        beat = Beat.parse(datagram)
    except BadDatagram:
        return
    assert beat.encode() == datagram, "there is one way only to write a beat"


@given(st.lists(st.tuples(ANY_BYTES, st.sampled_from([7700, 7701, 7702, 9])), max_size=8))
def test_the_door_answers_any_bytes_from_anywhere(arrivals: list[tuple[bytes, int]]) -> None:
    door = Door(cluster_of(3), NodeId(0))
    for datagram, port in arrivals:
        assert isinstance(door.admit(datagram, ("127.0.0.1", port)), Beat | Drop)
