"""The exchange of commands with other nodes: the links and the clock around `Asker` and `Answerer`."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from net.frame import Frame
from net.link import Link
from nodemanager.ids import NodeId
from ramsterd.asking.answerer import COMMAND_SECONDS_MAX, COMMANDS_PER_NODE_MAX, Answerer
from ramsterd.asking.asker import QUESTIONS_MAX, Asker, Question, TooManyQuestions
from ramsterd.asking.messages import (
    ANSWER_BYTES_MAX,
    ANSWERS_COMMANDS,
    COMMAND_BYTES_MAX,
    AskingMessage,
    Command,
    parse_command,
    parse_piece,
    pieces_of,
)
from ramsterd.asking.rights import RIGHTS, Right, why_not

logger = logging.getLogger("ramster.commands")

ANSWER_SECONDS_MAX: Final = COMMAND_SECONDS_MAX
# While more waits to be sent to a node, answers to it wait here.
SEND_QUEUE_BYTES_MAX: Final = 1024 * 1024
# How often it is looked whether that has left.
POLL_SECONDS: Final = 0.05
# For each second that an answer takes, the task that makes them sleeps so many.
REST_FACTOR: Final = 4


class NoAnswer(Exception):
    """There is none; the message is for the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingStatistics:
    """Questions of ours, and commands of others, by their outcome."""

    questions_under_way: int
    answered_questions_total: int
    # It is not known whether the other node has done what was asked.
    unknown_questions_total: int
    late_pieces_total: int
    waiting_commands: int
    answered_commands_total: int
    # By rights, or because too many waited.
    refused_commands_total: int
    # Nobody waits for their answers any more.
    expired_commands_total: int


class Exchange:
    """See the module's text."""

    def __init__(
        self,
        links: Mapping[NodeId, Link],
        *,
        node: str,
        name_of: Callable[[NodeId], str],
        has_tls: bool,
    ) -> None:
        """Wire it.

        Args:
            links: The open links.
            node: The name of this node.
            name_of: Returns the name of any node.
            has_tls: Whether links prove who the other side is.
        """
        # Read them; they are the mesh's.
        self.links = links
        self._node = node
        self._name_of = name_of
        self._has_tls = has_tls
        self._asker, self._answerer = Asker(), Answerer()
        self._came = trio.Event()
        self._answered_questions_total = self._unknown_questions_total = 0
        self._answered_commands_total = self._refused_commands_total = 0
        # What the control socket answers to a line; the daemon sets it.
        self.answer: Callable[[bytes], bytes] = lambda _: refusal("no commands here")

    def statistics(self) -> AskingStatistics:
        """Return a snapshot."""
        return AskingStatistics(
            questions_under_way=len(self._asker),
            answered_questions_total=self._answered_questions_total,
            unknown_questions_total=self._unknown_questions_total,
            late_pieces_total=self._asker.late_pieces_total,
            waiting_commands=len(self._answerer),
            answered_commands_total=self._answered_commands_total,
            refused_commands_total=self._refused_commands_total,
            expired_commands_total=self._answerer.expired_total,
        )

    # Questions of ours

    async def ask(self, node: NodeId, line: bytes, *, is_own: bool = False) -> bytes:
        """Have another node answer a line as its control socket would.

        With `is_own` this node asks for itself: that counts as no question of an operator.

        Raises:
            NoAnswer: It was not asked, or it is not known whether it has done what was asked.
        """
        name = self._name_of(node)
        link = self.links.get(node)
        if link is None:
            raise NoAnswer(
                f"node {name} has no link to node {self._node}: type the command on the machine of {name}"
            )
        if not link.features & ANSWERS_COMMANDS:
            raise NoAnswer(
                f"node {name} runs a ramsterd that answers no other nodes: upgrade it, or type the command on its machine"
            )
        if len(line) > COMMAND_BYTES_MAX:
            raise NoAnswer(f"a command of {len(line)} bytes, at most {COMMAND_BYTES_MAX}")
        done = trio.Event()
        try:
            question = self._asker.begin(node, done.set, is_own=is_own)
        except TooManyQuestions:
            raise NoAnswer(
                f"node {self._node} waits for {QUESTIONS_MAX} answers of other nodes already: repeat the command"
            ) from None
        try:
            command = Command(question.number, line)
            link.post(AskingMessage.COMMAND, count=1, table=command.table(), body=(line,))
            link.push()
            with trio.move_on_after(ANSWER_SECONDS_MAX):
                await done.wait()
        finally:
            self._asker.end(question)
        return self._outcome(question, name)

    def _outcome(self, question: Question, name: str) -> bytes:
        if question.is_answered:
            self._answered_questions_total += not question.is_own
            return question.answer
        self._unknown_questions_total += not question.is_own
        why = (
            f"the link to node {name} was lost"
            if question.is_link_lost
            else f"node {name} has not answered within {ANSWER_SECONDS_MAX:g} s"
        )
        raise NoAnswer(f"{why}: it may have done what was asked, or not; repeat the command")

    # What links tell

    def on_frame(self, link: Link, frame: Frame) -> None:
        """Handle one frame of `AskingMessage`.

        Raises:
            RemoteProtocolError: It breaks the protocol.
        """
        if frame.type == AskingMessage.ANSWER:
            self._asker.on_piece(link.node, parse_piece(frame))
            return
        command = parse_command(frame)
        if self._answerer.on_command(link.node, command, trio.current_time()):
            self._came.set()
        else:
            text = f"{COMMANDS_PER_NODE_MAX} commands of node {self._name_of(link.node)} wait already: repeat it later"
            self._refuse(link, command, f"node {self._node} is busy: {text}")

    def on_link_lost(self, node: NodeId) -> None:
        """Nobody answers, and nobody waits for an answer."""
        self._asker.on_link_lost(node)
        self._answerer.on_link_lost(node)

    # Commands of others

    async def run(self) -> None:
        """Answer commands, one after the other, until cancelled."""
        rests_until = 0.0
        while True:
            now = trio.current_time()
            if not len(self._answerer):
                self._came = trio.Event()
                await self._came.wait()
            elif now < rests_until:
                # Slept only with a command that waits: the end of a rest alone is no reason to wake up.
                await trio.sleep_until(rests_until)
            elif (taken := self._answerer.take(now, self._may_answer)) is not None:
                self._answer(*taken)
                ended_at = trio.current_time()
                rests_until = ended_at + REST_FACTOR * (ended_at - now)
            else:
                await trio.sleep(POLL_SECONDS)

    def _may_answer(self, node: NodeId) -> bool:
        link = self.links.get(node)
        return link is not None and link.send_queue_bytes < SEND_QUEUE_BYTES_MAX

    def _answer(self, node: NodeId, command: Command) -> None:
        link, name = self.links[node], self._name_of(node)
        word = command_of(command.line)
        if reason := why_not(word, has_tls=self._has_tls, node=self._node):
            self._refuse(link, command, reason)
            return
        if RIGHTS.get(word) is Right.TLS:
            logger.info("an operator at node %s asks this node for %s", name, word)
        try:
            answer = self.answer(command.line)
        except Exception:
            # A defect of one command ends no daemon because of what another node says.
            logger.exception("a command of node %s failed: %s", name, word)
            answer = refusal(f"node {self._node} failed at this command: look into its log")
        if len(answer) > ANSWER_BYTES_MAX:
            size = f"its answer has {len(answer):,} bytes, more than the {ANSWER_BYTES_MAX:,} that go to another node"
            self._refuse(link, command, f"{size}: type the command on the machine of {self._node}")
            return
        self._answered_commands_total += 1
        _send(link, command, answer)

    def _refuse(self, link: Link, command: Command, reason: str) -> None:
        self._refused_commands_total += 1
        _send(link, command, refusal(reason))


def _send(link: Link, command: Command, answer: bytes) -> None:
    for piece in pieces_of(command.number, answer):
        link.post(AskingMessage.ANSWER, count=1, table=piece.table(), body=(piece.data,))
    link.push()


def command_of(line: bytes) -> str:
    """Return the name of the command that a line has; empty: it has none, which the control socket refuses."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    found = request.get("command") if isinstance(request, dict) else None
    return found if isinstance(found, str) else ""


def refusal(reason: str) -> bytes:
    """Return an answer as the control socket has it."""
    return json.dumps({"ok": False, "error": reason}).encode()
