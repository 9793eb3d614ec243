"""One reload at a time, whole or not at all, and how it went."""

import logging
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from config.model import DaemonConfig
from config.reader import read_toml
from nodemanager.membership import StoreCheck
from ramsterd.reconfigure.examine import Reread
from ramsterd.reconfigure.reload import UNCHANGED, CannotApply, Reloader, Renewal
from tests.helpers.config_texts import DAEMON
from tests.helpers.no_threads import no_threads

DEBUG = '[log]\nlevel = "debug"\n'
SOCKET = '[control]\nsocket = "c"\n'


def read(text: str) -> DaemonConfig:
    return read_toml(text.encode(), DaemonConfig, file="f", folder=Path("/etc/ramster"))


class Files:
    """What is read again, and what is done about it."""

    def __init__(self) -> None:
        self.text = DAEMON
        self.problems: tuple[str, ...] = ()
        self.more = StoreCheck()
        self.refusal = ""
        self.applied: list[DaemonConfig] = []
        self.reads = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.begun = threading.Event()
        self.done = trio.Event()
        self.reloader = Reloader(
            read(DAEMON),
            reread=self.reread,
            apply=self.apply,
            renew=self.renew,
            wall_clock=lambda: 1000.0 + self.reads,
        )

    def reread(self, running: DaemonConfig) -> Reread:
        self.reads += 1
        self.begun.set()
        text = self.text
        assert self.may_go_on.wait(10)
        if self.problems:
            return Reread(problems=self.problems)
        return Reread(daemon=read(text), warnings=("a warning",))

    def apply(self, config: DaemonConfig, found: Reread) -> None:
        if self.refusal:
            raise CannotApply(self.refusal)
        self.applied.append(config)

    def renew(self, found: Reread) -> Renewal:
        self.done.set()  # how it went is noted in the same step
        return Renewal(self.more, ("a new key",))

    async def wait_done(self, number: int) -> None:
        while self.reloader.statistics().reloads_total < number:
            await self.done.wait()
            self.done = trio.Event()

    async def reload(self) -> None:
        """Ask for one, and wait until it is done."""
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.reloader.run)
                await self.wait_done(self.reloader.ask())
                nursery.cancel_scope.cancel()


async def test_what_can_be_applied_is_and_the_rest_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    files = Files()
    files.text = DAEMON + DEBUG + SOCKET
    await files.reload()
    now = files.reloader.statistics()
    assert now.applied == ("log.level: 'debug', was 'info'",)
    assert now.needs_restart == ("control.socket: absent, in the file /etc/ramster/c",)
    assert (now.is_last_reload_successful, now.last_reload_success_timestamp_seconds) == (
        True,
        1001.0,
    )
    assert (now.reloads_total, now.failed_reloads_total) == (1, 0)
    (applied,) = files.applied
    assert files.reloader.running is applied
    assert applied.control.socket is None
    assert caplog.messages == [
        "applied: log.level: 'debug', was 'info'",
        "needs a restart: control.socket: absent, in the file /etc/ramster/c",
        "a warning",
    ]
    await files.reload()
    now = files.reloader.statistics()
    assert now.applied == ()
    assert len(now.needs_restart) == 1, "until the daemon is started again"
    files.text = DAEMON + DEBUG
    await files.reload()
    assert files.reloader.statistics().needs_restart == ()
    assert caplog.messages[-2:] == [UNCHANGED, "a warning"]


async def test_a_file_that_is_wrong_changes_nothing_and_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = Files()
    files.text = DAEMON + SOCKET
    await files.reload()
    before = files.reloader.running
    files.problems = ("f: log.level: found 'loud', expected …",)
    await files.reload()
    now = files.reloader.statistics()
    assert files.reloader.running is before
    assert len(files.applied) == 1
    assert (now.is_last_reload_successful, now.last_reload_success_timestamp_seconds) == (
        False,
        1001.0,
    )
    assert (now.reloads_total, now.failed_reloads_total) == (2, 1)
    assert now.problems == files.problems
    assert len(now.needs_restart) == 1, "what is pending is still"
    assert caplog.messages[-2] == files.problems[0]
    files.problems = ()
    await files.reload()
    now = files.reloader.statistics()
    assert now.is_last_reload_successful
    assert now.problems == ()


async def test_what_is_wrong_with_keys_or_members_makes_it_fail_too() -> None:
    files = Files()
    files.text = DAEMON + DEBUG
    files.more = StoreCheck(problem="the members stay as they are")
    await files.reload()
    now = files.reloader.statistics()
    assert now.problems == ("the members stay as they are",)
    assert not now.is_last_reload_successful
    assert len(now.applied) == 1, "each file for itself"


async def test_a_cluster_file_that_was_edited_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = Files()
    files.more = StoreCheck(edited="the cluster file was changed by hand")
    await files.reload()
    now = files.reloader.statistics()
    assert now.is_last_reload_successful
    assert now.warnings == ("a warning", "the cluster file was changed by hand")
    assert caplog.messages[-1] == "a warning", "the members said the other one"


async def test_what_can_not_be_applied_after_all_changes_nothing() -> None:
    files = Files()
    files.text, files.refusal = DAEMON + DEBUG, "export x: too many pools"
    before = files.reloader.running
    await files.reload()
    now = files.reloader.statistics()
    assert now.problems == ("the old configuration stays in force: export x: too many pools",)
    assert now.applied == ()
    assert files.reloader.running is before


async def test_a_thread_that_can_not_be_started_ends_the_reload_and_nothing_else() -> None:
    files = Files()
    with no_threads():
        await files.reload()
    now = files.reloader.statistics()
    assert now.problems[0].startswith("can't read the files again: no thread can be started")
    await files.reload()
    assert files.reloader.statistics().is_last_reload_successful


async def test_a_reload_that_is_asked_for_while_one_reads_sees_what_was_changed_meanwhile() -> None:
    files = Files()
    files.may_go_on.clear()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(files.reloader.run)
            first = files.reloader.ask()
            await trio.to_thread.run_sync(files.begun.wait, 10)
            files.text = DAEMON + DEBUG
            # Many signals are one more reload.
            second = files.reloader.ask()
            assert files.reloader.ask() == second == first + 1
            files.may_go_on.set()
            await files.wait_done(second)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert files.reads == 2
    assert files.reloader.statistics().applied == ("log.level: 'debug', was 'info'",)
