"""What may be late is done when the loop runs anyway."""

from dataclasses import dataclass, field
from functools import partial
from math import inf

import pytest

from ramsterd.host.slack import SLACK_SECONDS_MAX, Slack, Turn, slack_of


@dataclass
class Waiting:
    """Some who wait, and who was woken."""

    slack: Slack = field(default_factory=Slack)
    woken: list[str] = field(default_factory=list)

    def add(self, name: str, due_at: float, until: float) -> Turn:
        turn = Turn(due_at, until, partial(self.woken.append, name))
        self.slack.add(turn)
        return turn

    @property
    def times(self) -> tuple[float, float]:
        return self.slack.due_at, self.slack.until


def test_who_is_due_is_woken_once_when_the_loop_runs_after_that() -> None:
    waiting = Waiting()
    waiting.add("one", due_at=2.0, until=3.0)
    waiting.slack.on_due(1.9)
    assert (waiting.woken, waiting.times) == ([], (2.0, 3.0))
    waiting.slack.on_due(2.5)
    waiting.slack.on_due(9.0)
    assert (waiting.woken, waiting.times) == (["one"], (inf, inf))


def test_each_has_its_own_time() -> None:
    waiting = Waiting()
    waiting.add("late", due_at=4.0, until=5.0)
    waiting.add("early", due_at=2.0, until=9.0)
    assert waiting.times == (2.0, 5.0)
    waiting.slack.on_due(3.0)
    assert (waiting.woken, waiting.times) == (["early"], (4.0, 5.0))


def test_one_that_is_hastened_is_due_earlier_if_it_has_to_be() -> None:
    waiting = Waiting()
    one = waiting.add("one", due_at=2.0, until=9.0)
    waiting.slack.hasten(one, 5.0)
    assert waiting.times == (2.0, 5.0)
    waiting.slack.hasten(one, 1.0)
    assert waiting.times == (1.0, 1.0)
    waiting.slack.on_due(1.0)
    assert waiting.woken == ["one"]


def test_one_that_is_forgotten_is_left_alone() -> None:
    waiting = Waiting()
    one = waiting.add("one", due_at=2.0, until=3.0)
    waiting.add("other", due_at=4.0, until=5.0)
    waiting.slack.remove(one)
    assert waiting.times == (4.0, 5.0)
    waiting.slack.on_due(9.0)
    assert waiting.woken == ["other"]


def test_all_can_be_woken_before_their_time() -> None:
    waiting = Waiting()
    waiting.add("one", due_at=2.0, until=3.0)
    waiting.add("other", due_at=inf, until=inf)
    waiting.slack.wake_all()
    assert (waiting.woken, waiting.times) == (["one", "other"], (inf, inf))


@pytest.mark.parametrize(("seconds", "slack"), [(0.1, 0.2), (2.0, SLACK_SECONDS_MAX)])
def test_it_is_longer_for_what_is_seldom_up_to_a_limit(seconds: float, slack: float) -> None:
    assert slack_of(seconds) == slack
