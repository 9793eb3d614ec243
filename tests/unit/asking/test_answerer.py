from nodemanager.ids import NodeId
from ramsterd.asking.answerer import COMMAND_SECONDS_MAX, COMMANDS_PER_NODE_MAX, Answerer
from ramsterd.asking.messages import Command

BETA, GAMMA = NodeId(2), NodeId(3)


def command(number: int) -> Command:
    return Command(number, b"{}")


def numbers(answerer: Answerer, *, now: float = 0.0) -> list[tuple[NodeId, int]]:
    """Take all commands."""
    taken = []
    while (found := answerer.take(now, lambda _: True)) is not None:
        answerer.check_invariants()
        taken.append((found[0], found[1].number))
    return taken


def test_nodes_take_turns() -> None:
    answerer = Answerer()
    for number in (1, 2, 3):
        assert answerer.on_command(BETA, command(number), 0.0)
    assert answerer.on_command(GAMMA, command(9), 0.0)
    assert numbers(answerer) == [(BETA, 1), (GAMMA, 9), (BETA, 2), (BETA, 3)]
    assert len(answerer) == 0


def test_only_so_many_commands_of_a_node_wait() -> None:
    answerer = Answerer()
    taken = [answerer.on_command(BETA, command(each + 1), 0.0) for each in range(6)]
    assert taken == [True] * COMMANDS_PER_NODE_MAX + [False, False]
    assert answerer.on_command(GAMMA, command(1), 0.0), "one node takes no room of another"
    answerer.check_invariants()


def test_a_command_whose_asker_has_given_up_is_not_carried_out() -> None:
    answerer = Answerer()
    answerer.on_command(BETA, command(1), 0.0)
    answerer.on_command(BETA, command(2), 1.0)
    assert numbers(answerer, now=COMMAND_SECONDS_MAX) == [(BETA, 2)]
    assert answerer.expired_total == 1


def test_a_node_that_reads_no_answers_holds_up_no_other() -> None:
    answerer = Answerer()
    answerer.on_command(BETA, command(1), 0.0)
    answerer.on_command(GAMMA, command(2), 0.0)
    assert answerer.take(0.0, lambda node: node == GAMMA) == (GAMMA, command(2))
    assert answerer.take(0.0, lambda node: node == GAMMA) is None
    assert len(answerer) == 1
    assert answerer.take(9.0, lambda _: False) is None
    assert (len(answerer), answerer.expired_total) == (0, 1)


def test_what_a_node_asked_ends_with_its_link() -> None:
    answerer = Answerer()
    answerer.on_command(BETA, command(1), 0.0)
    answerer.on_link_lost(BETA)
    answerer.on_link_lost(GAMMA)
    assert numbers(answerer) == []
