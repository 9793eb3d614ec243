"""Any frame of a question or an answer is one, the same when encoded again, or RemoteProtocolError; an answer stays within its limit, and reaches only who asked."""

import json
import random
from collections.abc import Mapping

from net.errors import RemoteProtocolError
from net.frame import Frame
from net.packing import pack_fields
from nodemanager.ids import NodeId
from ramsterd.asking.answerer import Answerer
from ramsterd.asking.asker import Asker
from ramsterd.asking.exchange import command_of
from ramsterd.asking.messages import (
    LIMITS,
    AskingMessage,
    Command,
    Piece,
    parse_command,
    parse_piece,
)
from ramsterd.asking.rights import RIGHTS, why_not
from ramsterd.asking.self_report import BadReport, parse_answer
from ramsterd.observe.snapshot import to_plain
from tests.fuzz.decoding import decoded
from tests.fuzz.repairing import Parts, change_field, repair_frames
from tests.fuzz.target import Target
from tests.helpers.links import make_frame

PEER = NodeId(2)
REPORT = (
    b'{"ok": true, "result": {"version": "1.0", "build": "x", "clock_seconds": 1.7e9, "uptime_seconds": 3,'
    b' "membership_version": 0, "cluster_digest": "ab", "sees": {"state": "up", "is_linked": true,'
    b' "link_reason": "", "heartbeat_seconds": null}}}'
)


class Node:
    """Asks a peer one question, and hears what it says."""

    def __init__(self) -> None:
        self.asker, self.answerer = Asker(), Answerer()
        self.question = self.asker.begin(PEER, lambda: None)

    def on_frame(self, found: Frame) -> set[str]:
        if found.type == AskingMessage.COMMAND:
            return self._on_command(parse_command(found))
        piece = parse_piece(found)
        late = self.asker.late_pieces_total
        self.asker.on_piece(PEER, piece)
        self.asker.check_invariants()
        outcomes = {"late"} if self.asker.late_pieces_total > late else {"piece"}
        return outcomes | (self._read_answer() if self.question.is_answered else set())

    def _read_answer(self) -> set[str]:
        """Read it as the node does that has asked by itself."""
        try:
            report = parse_answer(self.question.answer)
        except BadReport as error:
            assert str(error).isprintable()
            return {"answered"}
        again = json.dumps({"ok": True, "result": to_plain(report)})
        assert parse_answer(again) == report
        return {"answered", "report"}

    def _on_command(self, command: Command) -> set[str]:
        (again,) = decoded(
            make_frame(AskingMessage.COMMAND, 1, command.table(), command.line), LIMITS
        )
        assert parse_command(again) == command
        word = command_of(command.line)
        outcomes = {"known" if word in RIGHTS else "unknown"}
        if why_not(word, has_tls=False, node="n1"):
            outcomes.add("no right")
        if not self.answerer.on_command(PEER, command, 0.0):
            outcomes.add("busy")
        self.answerer.check_invariants()
        return outcomes


def check(data: bytes) -> set[str]:
    node, outcomes = Node(), set[str]()
    for found in decoded(data, LIMITS):
        if found.type not in LIMITS:
            continue
        try:
            outcomes |= node.on_frame(found)
        except RemoteProtocolError as error:
            assert str(error).isprintable(), "it stands in a log"
            assert len(str(error)) < 1000
            outcomes.add(f"refused {found.type}")
    return outcomes


def command(line: bytes, number: int = 1) -> bytes:
    return make_frame(AskingMessage.COMMAND, 1, Command(number, line).table(), line)


def answer(data: bytes, *, is_last: bool, number: int = 1) -> bytes:
    return make_frame(AskingMessage.ANSWER, 1, Piece(number, is_last, data).table(), data)


def seeds() -> Mapping[str, bytes]:
    status = b'{"command": "status"}'
    return {
        "status": command(status),
        "stop": command(b'{"command": "stop", "forget": true}'),
        "no-command": command(b'["status"]'),
        "busy": b"".join(command(status, number) for number in range(1, 7)),
        "answer": answer(b'{"ok": true,', is_last=False) + answer(b' "result": 7}', is_last=True),
        "report": answer(REPORT, is_last=True),
        "late": answer(b"x", is_last=True, number=9),
        "bad-command": make_frame(AskingMessage.COMMAND, 1, pack_fields([-1]), status),
        "bad-answer": make_frame(AskingMessage.ANSWER, 1, pack_fields([1, 1]), b"x"),
    }


def repair(data: bytes, rng: random.Random) -> bytes:
    def repair_parts(
        frame_type: int, is_reply: bool, count: int, table: bytes, body: bytes
    ) -> Parts:
        if rng.random() < 0.3:
            table = change_field(table, rng)
        limits = LIMITS[frame_type]
        return 1, table[: limits.table_bytes_max], body[: limits.body_bytes_max]

    return repair_frames(data, LIMITS, repair_parts)


TARGET = Target(
    check=check,
    seeds=seeds,
    outcomes=frozenset(
        ["known", "unknown", "no right", "busy", "piece", "answered", "report", "late"]
        + [f"refused {kind:d}" for kind in AskingMessage]
    ),
    repair=repair,
    bytes_max=8192,
    tokens=(b'"command"', b"status", b"memory-set", b"\xc2", b"\xc3"),
)
