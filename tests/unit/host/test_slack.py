"""What may be late is done in a wake-up that comes anyway."""

from dataclasses import dataclass

import pytest

from ramsterd.host.slack import SLACK_SECONDS_MAX, Slack, slack_of


@dataclass(eq=False)
class Scope:
    deadline: float


def test_what_is_due_ends_in_the_first_wake_up_after_that() -> None:
    slack, scope = Slack(), Scope(deadline=3.0)
    slack.add(scope, due_at=2.0)
    slack.on_woken(1.9)
    assert scope.deadline == 3.0
    slack.on_woken(2.5)
    assert scope.deadline == 2.5


def test_no_deadline_becomes_later() -> None:
    slack, scope = Slack(), Scope(deadline=3.0)
    slack.add(scope, due_at=2.0)
    scope.deadline = 2.2
    slack.on_woken(2.5)
    assert scope.deadline == 2.2


def test_one_that_is_forgotten_is_left_alone() -> None:
    slack, scope = Slack(), Scope(deadline=3.0)
    slack.add(scope, due_at=2.0)
    slack.remove(scope)
    slack.on_woken(2.5)
    assert scope.deadline == 3.0


@pytest.mark.parametrize(("seconds", "slack"), [(0.1, 0.1), (2.0, SLACK_SECONDS_MAX)])
def test_it_is_as_long_as_what_is_done_takes_turns_up_to_a_limit(
    seconds: float, slack: float
) -> None:
    assert slack_of(seconds) == slack
