"""`restart`: refused where the next start would fail, and begun once."""

import sys

import pytest
import trio

from ramsterd.admin.socket import CommandRefused
from ramsterd.restart import restarter
from ramsterd.restart.restarter import Restarter, check_start


class Story:
    """A restarter, what its check will say, and the restarts that began."""

    def __init__(self) -> None:
        self.said = ""
        self.begun: list[str] = []
        self.restarter = Restarter(
            check=self.check,
            new_id=lambda: "4f",
            restart=self.begun.append,
        )

    async def check(self) -> str:
        await trio.lowlevel.checkpoint()
        return self.said

    def ask(self) -> object:
        return self.restarter.ask({})


@pytest.fixture
def story() -> Story:
    return Story()


async def test_it_begins_once_the_check_is_over_and_only_once(
    story: Story, nursery: trio.Nursery
) -> None:
    nursery.start_soon(story.restarter.run)
    await trio.testing.wait_all_tasks_blocked()
    assert story.ask() == {"state": "checking"}
    assert story.ask() == {"state": "checking"}
    await trio.testing.wait_all_tasks_blocked()
    assert not story.begun, "the asker is told first"
    assert story.ask() == {"state": "restarting", "id": "4f"}
    assert story.ask() == {"state": "restarting", "id": "4f"}
    assert story.begun == ["4f"]


async def test_a_start_that_would_fail_is_named_and_may_be_tried_again(
    story: Story, nursery: trio.Nursery
) -> None:
    nursery.start_soon(story.restarter.run)
    await trio.testing.wait_all_tasks_blocked()
    story.said = "ramsterd.toml: memory.budget: found 7, expected a size"
    story.ask()
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(CommandRefused, match="next start of ramsterd would fail: ramsterd"):
        story.ask()
    assert not story.begun
    story.said = ""
    assert story.ask() == {"state": "checking"}
    await trio.testing.wait_all_tasks_blocked()
    assert story.ask() == {"state": "restarting", "id": "4f"}


async def test_what_was_found_long_ago_is_asked_for_again(
    story: Story, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """As after an operator who did not wait: the files may have changed."""
    nursery.start_soon(story.restarter.run)
    await trio.testing.wait_all_tasks_blocked()
    story.ask()
    await trio.sleep(restarter.CHECKED_SECONDS_MAX + 1)
    story.said = "wrong by now"
    assert story.ask() == {"state": "checking"}
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(CommandRefused, match="wrong by now"):
        story.ask()
    assert not story.begun


class TestCheck:
    """Of another program, which reads the files as the next start will."""

    async def test_a_program_that_ends_well_is_no_problem(self) -> None:
        assert await check_start([sys.executable, "-c", "print('noise')"]) == ""

    async def test_what_it_says_is_the_problem(self) -> None:
        assert await check_start([sys.executable, "-c", "exit('wrong file')"]) == "wrong file"
        assert await check_start([sys.executable, "-c", "exit(78)"]) == (
            "its check ended with status 78"
        )

    async def test_a_program_that_is_not_there_is_named(self) -> None:
        said = await check_start(["/nowhere/python"])
        assert said == "/nowhere/python: No such file or directory"

    async def test_one_that_does_not_end_is_ended(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(restarter, "CHECK_SECONDS_MAX", 0.05)
        said = await check_start([sys.executable, "-c", "import time; time.sleep(60)"])
        assert "took longer" in said
