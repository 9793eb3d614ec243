"""The screens of `ramsterctl top`: asks the daemon, takes keys, and draws."""

import os
import select
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live

from ramsterd.cli.ask import AskFailed, try_ask
from ramsterd.cli.target import Target
from ramsterd.cli.top_screen import KEYS, Order, Picture, View, screen

REFRESH_SECONDS: Final = 2.0
# Rates need two pictures.
FIRST_SECONDS: Final = 1.0
# More than a screen has lines for.
EVENTS_MAX: Final = 50
EVENTS_SECONDS: Final = 3600.0
# Of a screen where there is no terminal.
PRINTED_WIDTH: Final = 80
PRINTED_HEIGHT: Final = 24


def show(target: Target, first: Picture, *, is_once: bool) -> None:
    """Show screens until somebody ends it, or print one."""
    source = Source(target, first)
    # Ctrl-C is how it ends, too.
    with suppress(KeyboardInterrupt):
        time.sleep(FIRST_SECONDS)
        source.look()
        if is_once or not (sys.stdin.isatty() and sys.stdout.isatty()):
            print_one(source)
        else:
            follow(source)


class Source:
    """The two last pictures of a daemon, and its last events."""

    def __init__(self, target: Target, first: Picture) -> None:
        self._target = target
        self._before: Picture | None = None
        self._now = first
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self._run: str | None = None
        self._after = 0
        self._since = time.time_ns() / 1e9 - EVENTS_SECONDS
        self._problem = ""

    def look(self) -> None:
        """Ask for the next picture; without an answer the last one stays, and says so."""
        try:
            now = try_ask(self._target, "overview")
            while self._read_events():
                pass
        except AskFailed as failed:
            self._problem = str(failed)
        else:
            self._before, self._now, self._problem = self._now, now, ""

    def _read_events(self) -> bool:
        """Read on; return whether there is more."""
        answer = try_ask(self._target, "events", after=self._after, since=self._since)
        if self._run not in {None, answer["run"]}:  # the daemon has started anew
            self._run, self._after = None, 0
            return True
        self._run, self._after = answer["run"], answer["after"]
        self._events += answer["events"]
        return bool(self._after < answer["last"])

    def view(self, order: Order, width: int, height: int, *, keys: str = KEYS) -> View:
        """Return what there is to show."""
        return View(
            before=self._before,
            now=self._now,
            events=tuple(self._events),
            order=order,
            width=width,
            height=height,
            problem=self._problem,
            keys=keys,
        )


def print_one(source: Source) -> None:
    """Print a screen as text, without keys to press."""
    console = Console(width=PRINTED_WIDTH, highlight=False)
    for line in screen(source.view(Order.NAME, PRINTED_WIDTH, PRINTED_HEIGHT, keys="")):
        console.print(line, no_wrap=True)


def follow(source: Source) -> None:
    """Show screens until q."""
    console, order = Console(highlight=False), Order.NAME
    terminal = sys.stdin.fileno()
    with _keys_at_once(terminal), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lines = screen(source.view(order, *console.size))
            live.update(Group(*lines), refresh=True)
            key = _next_key(terminal, REFRESH_SECONDS)
            if key == "q":
                return
            if key in {each.value for each in Order}:
                order = Order(key)
            source.look()


@contextmanager
def _keys_at_once(terminal: int) -> Iterator[None]:
    """Take keys as they are pressed, and do not show them; after the block the terminal is as it was."""
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _next_key(terminal: int, seconds: float) -> str:
    """Return the key that is pressed within this time, or an empty text."""
    ready, _, _ = select.select([terminal], [], [], seconds)
    return os.read(terminal, 1).decode("ascii", "replace") if ready else ""
