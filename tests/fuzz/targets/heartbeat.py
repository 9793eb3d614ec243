"""Any datagrams, sealed or not, count once or are dropped for a named reason; whatever they tell, the detector's tables agree and what it sends is a datagram."""

import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from config.model import ClusterConfig, NodeConfig, TimersConfig
from heartbeat.datagram import (
    HEAD_BYTES,
    MAGIC,
    ROW_BYTES,
    ROWS_MAX,
    U32_MAX,
    VERSION,
    Datagram,
    DatagramKind,
    Message,
    Row,
    cluster_digest,
)
from heartbeat.datagram_filter import DatagramFilter, Drop, DropReason
from heartbeat.routes import Routes, written_endpoints
from heartbeat.seal import DATAGRAM_BYTES_MAX, KEY_BYTES, MAC_BYTES, Seal
from heartbeat.swim import AskLink, Effect, SendDatagram, Swim
from nodemanager.ids import Incarnation, NodeId
from nodemanager.states import NodeState
from tests.fuzz.target import Target
from tests.helpers.heartbeat_messages import message, row

U64_MAX: Final = (1 << 64) - 1
KEY: Final = bytes(range(KEY_BYTES))
SEAL: Final = Seal(KEY)
KINDS: Final = sorted(DatagramKind)
NODES: Final = 5
INCARNATION: Final = 1000
CLUSTER: Final = ClusterConfig(
    name="lab",
    node=tuple(
        NodeConfig(number=number, name=f"n{number}", address="127.0.0.1", port=7000 + number)
        for number in range(NODES)
    ),
)
DIGEST: Final = cluster_digest(CLUSTER.name)
# One record of an input: who sends (over NODES: a stranger), tenths of a second that pass before, and the datagram.
RECORD: Final = struct.Struct("<BBH")
# magic, version, kind, node, target, subject, rows, reserved, refutation, cluster: what `repair` sets right.
HEAD: Final = struct.Struct("<HBBHHHBBIQ")


class Watcher:
    """Node 0: its filter and its detector."""

    def __init__(self) -> None:
        self.now = 0.0
        self.outcomes: set[str] = set()
        routes = Routes(written_endpoints(CLUSTER, NodeId(0)))
        self._filter = DatagramFilter(CLUSTER.name, NodeId(0), routes, KEY)
        self._swim = Swim(
            [NodeId(number) for number in range(1, NODES)],
            NodeId(0),
            Incarnation(INCARNATION),
            TimersConfig(),
            now=0.0,
            rng=random.Random(1),
        )

    def pass_time(self, seconds: float) -> None:
        """Let deadlines come, as late as they like."""
        self.now += seconds
        self._perform(self._swim.on_deadline(now=self.now))

    def receive(self, data: bytes, sender: int) -> None:
        """Let a datagram come in, twice."""
        source = ("127.0.0.1", 7000 + sender)
        admitted = self._filter.admit(data, source)
        again = self._filter.admit(data, source)
        assert isinstance(again, Drop), "a datagram counts once"
        if isinstance(admitted, Drop):
            assert admitted.detail.isprintable(), "it stands in a log"
            assert admitted.reason is again.reason
            self.outcomes.add(admitted.reason.value)
            return
        assert again.reason in {DropReason.REPLAYED, DropReason.STALE_INCARNATION}
        self.outcomes |= {again.reason.value, admitted.kind.name}
        self.outcomes |= {f"row {each.state.value}" for each in admitted.rows}
        self._perform(self._swim.on_datagram(admitted, now=self.now))

    def end(self) -> None:
        """Look at the whole."""
        statistics = self._swim.statistics()
        assert sum(statistics.members.values()) == NODES - 1
        assert statistics.gossip_rows <= NODES
        if statistics.refutations_total:
            self.outcomes.add("denied")

    def _perform(self, effects: Sequence[Effect]) -> None:
        self._swim.check_invariants()
        for effect in effects:
            if isinstance(effect, SendDatagram):
                sealed = self._filter.close(effect.message)
                assert len(sealed) <= DATAGRAM_BYTES_MAX
                assert Datagram.parse(SEAL.open(sealed)).message == effect.message
                self.outcomes.add(f"sends {effect.message.kind.name}")
            elif isinstance(effect, AskLink):
                self.outcomes.add("asks a link")
            else:
                self.outcomes.add(f"verdict {effect.state.value}")


def records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (sender, tenths of a second, datagram)."""
    while len(data) >= RECORD.size:
        sender, tenths, length = RECORD.unpack_from(data)
        datagram = data[RECORD.size :][:length]
        yield sender, tenths, datagram
        data = data[RECORD.size + len(datagram) :]


def check(data: bytes) -> set[str]:
    watcher = Watcher()
    for sender, tenths, datagram in records(data):
        watcher.pass_time(tenths / 10)
        watcher.receive(datagram, sender)
    watcher.end()
    return watcher.outcomes


def record(sender: int, tenths: int, datagram: bytes) -> bytes:
    return RECORD.pack(sender, tenths, len(datagram)) + datagram


def told(each: Message, *, tenths: int = 1, counter: int = 1, cluster: int = DIGEST) -> bytes:
    datagram = Datagram(message=each, cluster=cluster, counter=counter)
    return record(each.node, tenths, SEAL.close(datagram.encode()))


def seeds() -> Mapping[str, bytes]:
    suspects = [row(node, NodeState.SUSPECT, accuser=1) for node in (2, 3, 4)]
    about_us = row(0, NodeState.SUSPECT, incarnation=INCARNATION, accuser=1)
    plain = message(1)
    sealed = told(plain)
    news = message(1, 0, DatagramKind.GOSSIP, about_us)
    whole = Datagram(message=news, cluster=DIGEST, counter=1).encode()
    return {
        "kinds": b"".join(
            told(message(1, 0, kind, probe=5, subject=2), counter=kind) for kind in DatagramKind
        )
        + record(1, 9, b""),
        "rows": told(message(1, 0, DatagramKind.PING, *suspects, about_us))
        + told(message(2, refutation=1), tenths=60)
        + told(message(1, 0, DatagramKind.GOSSIP, row(4, NodeState.DOWN, accuser=3)), counter=2),
        "full": told(
            message(1, 0, DatagramKind.GOSSIP, *[row(2, NodeState.UP, incarnation=i) for i in range(ROWS_MAX)])
        ),
        "limits": told(
            Message(
                kind=DatagramKind.ACK, node=NodeId(1), incarnation=Incarnation(U64_MAX), refutation=U32_MAX,
                target=NodeId(0), probe=U64_MAX, subject=NodeId(1023),
                rows=(Row(NodeId(0), NodeState.DOWN, Incarnation(INCARNATION), U32_MAX, NodeId(1023)),),
            ),
            counter=U64_MAX,
        ),
        "stale": told(message(1, incarnation=9)) + told(message(1, incarnation=8)),
        "stranger": record(200, 0, sealed[RECORD.size :]),
        "forged": record(1, 0, sealed[RECORD.size : -1] + b"\0"),
        "other-cluster": told(plain, cluster=1),
        "other-node": record(2, 0, sealed[RECORD.size :]),
        "other-target": told(message(1, 3)),
        "malformed": record(1, 0, SEAL.close(b"no datagram"))
        + b"".join(
            record(1, 0, SEAL.close(bad))
            for place in (0, 2, 3, 5, 7, 9, 10, 11, HEAD_BYTES + 1, HEAD_BYTES + 2, HEAD_BYTES + 3, HEAD_BYTES + 17)
            for bad in [whole[:place] + b"\xff" + whole[place + 1 :]]
        ),
        "silence": told(plain) + told(message(2), tenths=10) * 3 + record(1, 20, b"") * 6,
    }  # fmt: skip


def repair(data: bytes, rng: random.Random) -> bytes:
    """Seal each datagram, and mostly make it a well-formed one of a member to us; the news in it stay as they are."""
    repaired = b""
    for sender, tenths, datagram in records(data):
        number = 1 + sender % (NODES - 1)
        match rng.randrange(8):
            case 0:
                repaired += record(sender, tenths, datagram)
            case 1 | 2:
                repaired += record(number, tenths, SEAL.close(datagram[:-MAC_BYTES]))
            case _:
                repaired += record(number, tenths, SEAL.close(repair_datagram(datagram, number)))
    return repaired


def repair_datagram(datagram: bytes, number: int) -> bytes:
    body = datagram[:-MAC_BYTES].ljust(HEAD_BYTES, b"\0")
    rows = min((len(body) - HEAD_BYTES) // ROW_BYTES, ROWS_MAX)
    _, _, kind, _, _, subject, _, _, refutation, _ = HEAD.unpack_from(body)
    kind = kind if kind in KINDS else KINDS[kind % len(KINDS)]
    head = HEAD.pack(
        MAGIC, VERSION, kind, number, 0, subject % 1024, rows, 0, refutation, DIGEST
    )  # fmt: skip
    head += body[HEAD.size : HEAD_BYTES]
    return head + b"".join(
        repair_row(body[HEAD_BYTES + place * ROW_BYTES :][:ROW_BYTES]) for place in range(rows)
    )


def repair_row(each: bytes) -> bytes:
    """Give a row a node, a state and an accuser that can be."""
    node, state, accuser = each[0] % (NODES + 1), 1 + each[2] % 3, each[16] % NODES
    return bytes([node, 0, state, 0]) + each[4:16] + bytes([accuser, 0])


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        # All members are at an address: no bytes come from one whose name is looked up.
        {reason.value for reason in DropReason if reason is not DropReason.UNRESOLVED_SOURCE}
        | {kind.name for kind in DatagramKind}
        | {"row up", "row suspect", "row down", "denied"}
        | {"verdict up", "verdict suspect", "verdict down"}
        | {f"sends {kind}" for kind in ("PING", "ACK", "NACK", "PING_REQUEST", "GOSSIP")}
    ),
    repair=repair,
    bytes_max=2048,
)
