"""Commands between nodes over simulated links: each question is answered, refused or unknown, within its time."""

import itertools
import json
import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from config.limits import BUDGET_BYTES_MIN
from net.peerlink import PeerLink
from ramsterd.asking import exchange
from ramsterd.asking.answerer import COMMANDS_PER_NODE_MAX
from ramsterd.asking.asker import QUESTIONS_MAX
from ramsterd.asking.exchange import ANSWER_SECONDS_MAX, NoAnswer, command_of
from ramsterd.asking.messages import (
    ANSWER_BYTES_MAX,
    COMMAND_BYTES_MAX,
    PIECE_BYTES_MAX,
    AskingMessage,
    Command,
)
from tests.helpers.sim_nodes import SimNode, eventually, run_nodes

STATUS = b'{"command": "status"}'
SMALL = BUDGET_BYTES_MIN


def answering(node: SimNode, answer: bytes) -> list[bytes]:
    """Have a node answer everything alike; return what it is asked."""
    asked = []

    def reply(line: bytes) -> bytes:
        asked.append(line)
        return answer

    node.peers.asking.answer = reply
    return asked


async def ask(asker: SimNode, other: SimNode, line: bytes = STATUS) -> bytes:
    return await asker.peers.asking.ask(other.number, line)


def error_in(answer: bytes) -> str:
    plain: dict[str, Any] = json.loads(answer)
    assert plain["ok"] is False
    return str(plain["error"])


async def test_another_node_answers_as_its_own_control_socket_would(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        asked = answering(other, b'{"ok": true, "result": 7}\n')
        assert await ask(node, other) == b'{"ok": true, "result": 7}\n'
        assert asked == [STATUS]
        assert node.peers.asking.statistics().answered_questions_total == 1
        assert other.peers.asking.statistics().answered_commands_total == 1


async def test_a_long_answer_comes_in_pieces(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        long = bytes(range(256)) * (ANSWER_BYTES_MAX // 256)
        assert len(long) > 10 * PIECE_BYTES_MAX
        answering(other, long)
        assert await ask(node, other) == long


async def test_an_answer_that_is_too_long_is_refused_with_its_size(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        answering(other, bytes(ANSWER_BYTES_MAX + 1))
        text = error_in(await ask(node, other))
        assert text.startswith("its answer has 2,097,153 bytes, more than the 2,097,152 that go")
        assert text.endswith(": type the command on the machine of n2")


async def test_what_needs_tls_is_refused_on_a_plain_link(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        asked = answering(other, b"{}")
        text = error_in(await ask(node, other, b'{"command": "memory-set", "budget": "1GiB"}'))
        assert "its links are plaintext" in text
        assert asked == []
        assert other.peers.asking.statistics().refused_commands_total == 1


async def test_a_change_for_an_operator_elsewhere_stands_in_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        other.peers.asking._has_tls = True
        answering(other, b"{}")
        with caplog.at_level(logging.INFO, "ramster.commands"):
            await ask(node, other, b'{"command": "memory-set"}')
            await ask(node, other, STATUS)
        assert caplog.messages == ["an operator at node n1 asks this node for memory-set"]


async def test_a_command_that_fails_ends_no_daemon(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: bytes) -> bytes:
        raise AttributeError

    async with run_nodes(SMALL, SMALL) as [node, other]:
        other.peers.asking.answer = fails
        text = error_in(await ask(node, other))
        assert text == "node n2 failed at this command: look into its log"
        assert "a command of node n1 failed: status" in caplog.text


async def test_no_answer_in_time_is_unknown(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        other.peers.asking._answerer.take = lambda *_: None  # type: ignore[method-assign]
        began = trio.current_time()
        with pytest.raises(NoAnswer, match="n2 has not answered within 5 s: it may have done"):
            await ask(node, other)
        assert trio.current_time() - began == pytest.approx(ANSWER_SECONDS_MAX)
        now = node.peers.asking.statistics()
        assert (now.questions_under_way, now.unknown_questions_total) == (0, 1)


async def test_a_lost_link_is_unknown_at_once(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        other.peers.asking._answerer.take = lambda *_: None  # type: ignore[method-assign]
        [connection] = [each for each in node.net.streams.connections if not each.dialed.is_closed]
        async with trio.open_nursery() as nursery:

            async def cut() -> None:
                await trio.sleep(1)
                connection.cut()

            nursery.start_soon(cut)
            with pytest.raises(NoAnswer, match="the link to node n2 was lost: it may have done"):
                await ask(node, other)


async def test_a_node_without_a_link_is_not_asked(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        node.peers.mesh.links.clear()
        with pytest.raises(NoAnswer, match="node n2 has no link to node n1: type the command on"):
            await ask(node, other)


async def test_an_older_node_is_not_sent_what_it_does_not_know(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        link = node.peers.mesh.links[other.number]
        assert isinstance(link, PeerLink)
        sent = link.statistics().frames_sent_total
        link.features = 0
        with pytest.raises(NoAnswer, match="runs a ramsterd that answers no other nodes: upgrade"):
            await ask(node, other)
        assert link.statistics().frames_sent_total == sent


async def test_a_line_that_is_too_long_is_not_sent(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        with pytest.raises(NoAnswer, match="a command of 4097 bytes, at most 4096"):
            await ask(node, other, bytes(COMMAND_BYTES_MAX + 1))


async def test_more_questions_than_may_be_are_refused_here(autojump_clock: MockClock) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        for _ in range(QUESTIONS_MAX):
            node.peers.asking._asker.begin(other.number, lambda: None)
        with pytest.raises(NoAnswer, match="n1 waits for 8 answers of other nodes already"):
            await ask(node, other)


async def test_more_commands_of_a_node_than_may_wait_are_refused_there(
    autojump_clock: MockClock,
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        other.peers.asking._answerer.take = lambda *_: None  # type: ignore[method-assign]
        link = node.peers.mesh.links[other.number]
        for number in range(COMMANDS_PER_NODE_MAX):
            command = Command(1000 + number, STATUS)
            link.post(AskingMessage.COMMAND, count=1, table=command.table(), body=(STATUS,))
        text = error_in(await ask(node, other))
        assert text == "node n2 is busy: 4 commands of node n1 wait already: repeat it later"


async def test_answers_take_a_share_of_the_time(
    autojump_clock: MockClock,
) -> None:
    """For each second that an answer takes there are four without one."""
    async with run_nodes(SMALL, SMALL) as [node, other]:
        begun: list[float] = []

        def slow(_: bytes) -> bytes:
            begun.append(trio.current_time())
            autojump_clock.jump(0.1)
            return b"{}"

        other.peers.asking.answer = slow
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, node, other)
        assert [later - before for before, later in itertools.pairwise(begun)] == (
            pytest.approx([0.5, 0.5])
        )


async def test_nobody_wakes_up_for_the_end_of_a_rest_that_no_command_waits_for(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node asks each other one once a minute."""
    async with run_nodes(SMALL, SMALL) as [node, other]:
        rests: list[float] = []
        sleep_until = trio.sleep_until

        async def rest(until: float) -> None:
            rests.append(until)
            await sleep_until(until)

        def slow(_: bytes) -> bytes:
            autojump_clock.jump(0.1)
            return b"{}"

        other.peers.asking.answer = slow
        monkeypatch.setattr(trio, "sleep_until", rest)
        await ask(node, other)
        await trio.sleep(1.0)
        await ask(node, other)
        assert rests == []
        await ask(node, other)
        assert len(rests) == 1


async def test_a_node_that_reads_nothing_gets_no_more_answers(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_nodes(SMALL, SMALL) as [node, other]:
        asked = answering(other, b"{}")
        monkeypatch.setattr(exchange, "SEND_QUEUE_BYTES_MAX", 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, node, other)
            await eventually(lambda: bool(other.peers.asking.statistics().waiting_commands))
            assert asked == []
            monkeypatch.setattr(exchange, "SEND_QUEUE_BYTES_MAX", 1 << 20)
        assert asked == [STATUS]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (STATUS, "status"),
        (b"[]", ""),
        (b'{"command": 7}', ""),
        (b"\xff", ""),
        (b"[" * 4000, ""),
    ],
)
def test_a_line_without_a_command_has_none(line: bytes, command: str) -> None:
    assert command_of(line) == command
