"""`ramsterctl stop`: say what ends, and wait until the daemon has ended."""

import os
import select
import socket
import struct
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from ramsterd.cli.ask import Ask, send_command
from ramsterd.cli.output import OUTPUT_OPTION, Output, fail, show, warn
from ramsterd.cli.target import Target

POLL_SECONDS: Final = 0.1
# Longer than any sensible stop_seconds_max.
STOP_SECONDS_MAX: Final = 120.0
_CREDENTIALS: Final = struct.Struct("3i")


def stop_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command()
    @click.option(
        "--forget",
        is_flag=True,
        help="End the pages of this node, also where they are kept: no later start has them.",
    )
    @OUTPUT_OPTION
    @click.pass_obj
    def stop(target: Target, forget: bool, output: Output) -> None:
        """Stop ramsterd in order, and wait until it has ended.

        The command is refused, and nothing changes, if pages would end with the stop: nobody keeps
        them, or systemd does, which gives up the pages of a unit that stops.  `restart` keeps them.

        --forget ends the pages of this node on purpose.  Peers drop their copies, and the kept
        memory is given up.  Exports that had pages are lost then: `ramsterctl export reset NAME`
        makes them blank.
        """
        if target.node:
            ask(target, "stop", forget=forget)  # no node does it for another one, and says so
            return
        process = _process_of(target.socket)
        result = ask(target, "stop", forget=forget)
        warn(result["warnings"])
        if not (_wait_silent(target.socket) if process is None else _wait_ended(process)):
            fail(
                f"the daemon has not ended after {STOP_SECONDS_MAX:.0f} s: look into its log (`journalctl -u ramsterd`)"
            )
        show(result, output, lambda _: "the daemon has stopped")

    return stop


def _process_of(socket_path: Path) -> int | None:
    """Return a descriptor of the process that made a socket.

    None: it can't be seen from here, as it runs in another container, or it was the process before.
    """
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(socket_path))
            found = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, _, _ = _CREDENTIALS.unpack(found)
        return os.pidfd_open(pid)
    except OSError:
        return None  # the command says what is wrong


def _wait_ended(process: int) -> bool:
    with closing(select.epoll()) as ended:
        ended.register(process, select.EPOLLIN)
        is_over = bool(ended.poll(STOP_SECONDS_MAX))
    os.close(process)
    return is_over


def _wait_silent(socket_path: Path) -> bool:
    deadline = time.monotonic() + STOP_SECONDS_MAX  # noqa: TID251  a command has no loop
    while time.monotonic() < deadline:  # noqa: TID251
        try:
            if not send_command(socket_path, "status"):
                return True
        except OSError:
            return True
        time.sleep(POLL_SECONDS)
    return False
