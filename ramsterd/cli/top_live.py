"""The screens of `ramsterctl top` on a terminal: takes keys, and draws."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rich.console import Console, Group
from rich.live import Live

from ramsterd.cli.gather import end_unless_all
from ramsterd.cli.target import Target
from ramsterd.cli.top_parts import UNCUT_WIDTH, Picture
from ramsterd.cli.top_sources import ClusterSource, NodeSource, Source

# Rates need two pictures.
FIRST_SECONDS: Final = 1.0
# Of a screen where there is no terminal.
PRINTED_HEIGHT: Final = 24


def show_node(target: Target, first: Picture, *, is_once: bool) -> None:
    """Show screens of one node until somebody ends it, or print one."""
    # Ctrl-C is how it ends, too.
    with suppress(KeyboardInterrupt):
        _show(NodeSource(target, first), is_once=is_once)


def show_cluster(target: Target, first: Picture, *, is_once: bool) -> None:
    """Show screens of all members likewise; with status 1 if one that is printed lacks a member."""
    source = ClusterSource(target, first)
    with suppress(KeyboardInterrupt):
        source.look()
        if _show(source, is_once=is_once):
            end_unless_all(source.silent())


def _show(source: Source, *, is_once: bool) -> bool:
    """Show screens until q, or print one; return whether it was printed."""
    time.sleep(FIRST_SECONDS)
    source.look()
    is_printed = is_once or not (sys.stdin.isatty() and sys.stdout.isatty())
    if is_printed:
        print_one(source)
    else:
        follow(source)
    return is_printed


def print_one(source: Source) -> None:
    """Print a screen as text, without keys to press."""
    # The lines are cut already, if they are to be.
    console = Console(width=UNCUT_WIDTH, highlight=False)
    for line in source.lines(_printed_width(), PRINTED_HEIGHT, keys=""):
        console.print(line, soft_wrap=True)


def _printed_width() -> int | None:
    """Return how wide a printed screen may be: COLUMNS, or the terminal; None: nothing is cut."""
    if (columns := os.environ.get("COLUMNS", "")).isdecimal():
        return int(columns) or None
    with suppress(OSError):
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    return None


def follow(source: Source) -> None:
    """Show screens until q."""
    console = Console(highlight=False)
    terminal = sys.stdin.fileno()
    with _keys_at_once(terminal), Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.perf_counter() + source.refresh_seconds
        while True:
            lines = source.lines(*console.size, keys=source.keys)
            live.update(Group(*lines), refresh=True)
            key = _next_key(terminal, max(0.0, due - time.perf_counter()))
            if key == "q":
                return
            source.press(key)
            # A key that is held down asks nobody more often.
            if time.perf_counter() >= due:
                source.look()
                due = time.perf_counter() + source.refresh_seconds


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
