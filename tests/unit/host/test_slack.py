"""What may be late is done when the loop runs anyway."""

from dataclasses import dataclass
from math import inf

import pytest

from ramsterd.host.slack import SLACK_SECONDS_MAX, Slack, slack_of


@dataclass(eq=False)
class Scope:
    deadline: float


def test_what_is_due_ends_when_the_loop_runs_after_that() -> None:
    slack, scope = Slack(), Scope(deadline=3.0)
    slack.add(scope, due_at=2.0)
    slack.on_due(1.9)
    assert (scope.deadline, slack.due_at) == (3.0, 2.0)
    slack.on_due(2.5)
    assert (scope.deadline, slack.due_at) == (2.5, inf)
    slack.remove(scope)


def test_each_has_its_own_time() -> None:
    slack, early, late = Slack(), Scope(deadline=9.0), Scope(deadline=9.0)
    slack.add(late, due_at=4.0)
    slack.add(early, due_at=2.0)
    assert slack.due_at == 2.0
    slack.on_due(3.0)
    assert (early.deadline, late.deadline, slack.due_at) == (3.0, 9.0, 4.0)


def test_no_deadline_becomes_later() -> None:
    slack, scope = Slack(), Scope(deadline=3.0)
    slack.add(scope, due_at=2.0)
    scope.deadline = 2.2
    slack.on_due(2.5)
    assert scope.deadline == 2.2


def test_one_that_is_forgotten_is_left_alone() -> None:
    slack, scope = Slack(), Scope(deadline=3.0)
    slack.add(scope, due_at=2.0)
    slack.remove(scope)
    slack.on_due(2.5)
    assert (scope.deadline, slack.due_at) == (3.0, inf)


@pytest.mark.parametrize(("seconds", "slack"), [(0.1, 0.2), (2.0, SLACK_SECONDS_MAX)])
def test_it_is_longer_for_what_is_seldom_up_to_a_limit(seconds: float, slack: float) -> None:
    assert slack_of(seconds) == slack
