"""One reload at a time, whole or not at all, and how it went."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from config.errors import ConfigError
from config.export_edits import AddExport, ExportEdit, RemoveExport
from config.model import DaemonConfig, ExportConfig
from config.reader import read_toml
from nodemanager.membership import StoreCheck
from ramsterd.reconfigure.ends import Ends
from ramsterd.reconfigure.errors import CannotApply
from ramsterd.reconfigure.examine import Reread
from ramsterd.reconfigure.exports import Prepared
from ramsterd.reconfigure.node_files import Proposal
from ramsterd.reconfigure.reload import (
    ORDERS_MAX,
    UNCHANGED,
    Done,
    Order,
    Reloader,
    Renewal,
)
from tests.helpers.config_texts import DAEMON
from tests.helpers.no_threads import no_threads

DEBUG = '[log]\nlevel = "debug"\n'
SOCKET = '[control]\nsocket = "c"\n'


def read(text: str) -> DaemonConfig:
    return read_toml(text.encode(), DaemonConfig, file="f", folder=Path("/etc/ramster"))


class Files:
    """What is read again, and what is done about it: both the files and the parts that follow."""

    path = Path("/etc/ramster/ramsterd.toml")

    def __init__(self) -> None:
        # What a change of the file comes to, and why it can't be proposed or written.
        self.proposed = DAEMON
        self.unproposed = self.unwritten = ""
        self.unsynced = ""
        self.before_write: Callable[[], object] = lambda: None
        self.steps: list[str] = []
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
        fake: Any = self
        self.reloader = Reloader(
            read(DAEMON),
            files=fake,
            parts=fake,
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

    def propose(self, edit: ExportEdit, *, loaded: DaemonConfig, running: DaemonConfig) -> Proposal:
        if self.unproposed:
            raise ConfigError("f", "", self.unproposed, "another")
        found = Reread(daemon=read(self.proposed), warnings=("a new warning",))
        before, after = self.text.encode(), self.proposed.encode()
        return Proposal(before=before, after=after, daemon=read(self.proposed), found=found)

    def write(self, proposal: Proposal) -> str:
        self.before_write()
        if self.unwritten:
            raise ConfigError("f", "", self.unwritten, "room on the disk")
        self.steps.append("write")
        self.text = proposal.after.decode()
        return self.unsynced

    def prepare(self, config: DaemonConfig, ends: Ends | None = None) -> Prepared:
        if self.refusal:
            raise CannotApply(self.refusal)
        self.steps.append("prepare")
        notes, pages = (("a note",), 7) if ends else ((), 0)
        return Prepared(configs=config.export, new={}, notes=notes, dropped_pages=pages)

    def cancel(self, prepared: Prepared) -> None:
        self.steps.append("cancel")

    def apply(self, config: DaemonConfig, found: Reread, prepared: Prepared) -> None:
        self.steps.append("apply")
        self.applied.append(config)

    async def finish(self, prepared: Prepared) -> None:
        self.steps.append("finish")

    def renew(self, found: Reread) -> Renewal:
        self.done.set()  # how it went is noted in the same step
        return Renewal(self.more, ("a new key",))

    async def wait_done(self, number: int) -> None:
        while self.reloader.statistics().reloads_total < number:
            await self.done.wait()
            self.done = trio.Event()

    async def order(self, edit: ExportEdit, ends: Ends | None = None) -> Done | str:
        """Order a change, and return what became of it."""
        told: list[Done | str] = []
        over = trio.Event()

        def tell(outcome: Done | str) -> None:
            told.append(outcome)
            over.set()

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.reloader.run)
                self.reloader.order(Order(edit=edit, ends=ends, on_done=tell, on_refused=tell))
                await over.wait()
                nursery.cancel_scope.cancel()
        (outcome,) = told
        return outcome

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


# Orders.

ROW = '[[export]]\nname = "disk2"\nsize = "2MiB"\n'
ADD = AddExport(ExportConfig(name="disk2", size=2 << 20))
WITHOUT_DISK1 = DAEMON.replace('[[export]]\nname = "disk1"\nsize = 4096\n', "")


def unexpected(outcome: object) -> None:
    pytest.fail(f"nobody carries it out: {outcome}")


def names_of(config: DaemonConfig) -> list[str]:
    return [each.name for each in config.export]


async def test_an_order_is_written_once_all_that_may_fail_is_done_and_then_followed() -> None:
    files = Files()
    files.proposed = DAEMON + ROW
    done = await files.order(ADD)
    assert done == Done(is_changed=True, warnings=("a new warning",))
    assert files.steps == ["prepare", "write", "apply", "finish"]
    assert names_of(files.reloader.running) == ["swap0", "disk1", "disk2"]
    assert files.reloader.statistics().reloads_total == 0, "an order is no reload"
    files.text = DAEMON + ROW
    await files.reload()
    assert files.reloader.statistics().applied == ()


async def test_an_order_that_is_refused_anywhere_changes_nothing() -> None:
    files = Files()
    files.proposed = DAEMON + ROW
    before = files.reloader.running
    files.unproposed = "a wrong text"
    assert await files.order(ADD) == "f: found a wrong text, expected another"
    files.unproposed, files.refusal = "", "export disk2: 4096 pools exist"
    assert await files.order(ADD) == "export disk2: 4096 pools exist"
    assert files.steps == []
    files.refusal, files.unwritten = "", "no space left on device"
    outcome = await files.order(ADD)
    assert outcome == "f: found no space left on device, expected room on the disk"
    assert files.steps == ["prepare", "cancel"]
    assert (files.text, files.reloader.running) == (DAEMON, before)
    files.unwritten = ""
    assert isinstance(await files.order(ADD), Done)


async def test_a_thread_that_can_not_be_started_refuses_an_order() -> None:
    files = Files()
    with no_threads():
        assert "no thread can be started" in str(await files.order(ADD))


async def test_an_export_that_an_operator_ends_goes_at_once() -> None:
    files = Files()
    files.proposed = WITHOUT_DISK1
    done = await files.order(RemoveExport("disk1"), Ends("disk1", is_forced=False))
    assert done == Done(is_changed=True, warnings=("a new warning", "a note"), dropped_pages=7)
    assert names_of(files.reloader.running) == ["swap0"]
    assert files.reloader.statistics().needs_restart == ()


async def test_one_that_went_from_the_file_by_hand_and_waits_for_a_restart_can_be_ended_too() -> (
    None
):
    files = Files()
    files.text = files.proposed = WITHOUT_DISK1
    await files.reload()
    assert files.reloader.statistics().needs_restart == ("export.disk1: there, in the file gone",)
    done = await files.order(RemoveExport("disk1"), Ends("disk1", is_forced=False))
    assert isinstance(done, Done)
    assert done.is_changed
    assert names_of(files.reloader.running) == ["swap0"]
    assert files.reloader.statistics().needs_restart == ()


async def test_what_waits_for_a_restart_still_does_after_an_order() -> None:
    files = Files()
    files.text = DAEMON + SOCKET
    await files.reload()
    before = files.reloader.statistics().needs_restart
    assert len(before) == 1
    files.proposed = DAEMON + SOCKET + ROW
    assert isinstance(await files.order(ADD), Done)
    assert files.reloader.statistics().needs_restart == before
    assert files.reloader.running.control.socket is None


async def test_an_order_of_which_a_part_would_wait_for_a_restart_is_refused() -> None:
    files = Files()
    files.text = WITHOUT_DISK1
    await files.reload()
    files.steps.clear()
    files.proposed = WITHOUT_DISK1 + '[[export]]\nname = "disk1"\nsize = 4096\ncopies = 3\n'
    outcome = await files.order(AddExport(ExportConfig(name="disk1", size=4096, copies=3)))
    assert str(outcome).startswith(
        "export.disk1.copies would wait for a restart (now 0, then 3): exports that are gone"
    )
    assert files.steps == []


async def test_a_stop_while_the_file_is_written_leaves_the_daemon_as_it_was() -> None:
    files = Files()
    files.proposed = DAEMON + ROW
    begun, may_end = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        may_end.wait(10)

    files.before_write = hang
    before = files.reloader.running
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(files.reloader.run)
            files.reloader.order(
                Order(edit=ADD, ends=None, on_done=unexpected, on_refused=unexpected)
            )
            await trio.to_thread.run_sync(begun.wait, 10)
            nursery.cancel_scope.cancel()
    may_end.set()
    assert files.steps[:2] == ["prepare", "cancel"]
    assert files.reloader.running is before


async def test_a_folder_that_was_not_synced_is_a_warning() -> None:
    files = Files()
    files.proposed, files.unsynced = DAEMON + ROW, "not synced"
    assert await files.order(ADD) == Done(is_changed=True, warnings=("a new warning", "not synced"))


async def test_orders_beyond_a_limit_are_refused() -> None:
    files = Files()
    order = Order(edit=ADD, ends=None, on_done=unexpected, on_refused=unexpected)
    for _ in range(ORDERS_MAX):
        files.reloader.order(order)
    with pytest.raises(CannotApply, match="16 changes wait: repeat the command in a moment"):
        files.reloader.order(order)
    assert counted(files) == (0, 1, ORDERS_MAX)


async def test_orders_are_counted_by_how_they_ended() -> None:
    files = Files()
    await files.order(ADD)
    files.refusal = "no room"
    await files.order(ADD)
    assert counted(files) == (1, 1, 0)


def counted(files: Files) -> tuple[int, int, int]:
    """Return how many orders were carried out, were refused, and wait."""
    now = files.reloader.statistics()
    return (
        now.export_changes_total,
        now.refused_export_changes_total,
        now.waiting_export_changes,
    )
