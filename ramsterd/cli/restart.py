"""`ramsterctl restart`: begin, wait until the next process answers, and say how long clients waited."""

import time
from typing import Any, Final

import click

from ramsterd.cli.ask import Ask, AskFailed, try_ask
from ramsterd.cli.output import OUTPUT_OPTION, Output, fail, show
from ramsterd.cli.target import AT_NODE, Target

POLL_SECONDS: Final = 0.1
# Of a start with much memory; it goes on when the command has given up.
RESTART_SECONDS_MAX: Final = 120.0


def restart_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command()
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def restart(target: Target, output: Output) -> None:
        """Restart ramsterd, with the program that is installed now, and keep pages and clients.

        First, another process checks the program and the configuration.  Then the daemon answers
        every request that has begun, and replaces itself by the installed program; the process id
        stays.  Clients of NBD and tmem stay connected and wait for a moment.  A client with a
        request that takes longer than 5 seconds is disconnected; it can connect again.  Peers
        connect again.

        It needs nobody who keeps the pages ([memory] keep): the next program of the same process
        has them.  The command is refused, and nothing changes, if the next start would fail.
        """
        while (begun := ask(target, "restart"))["state"] != "restarting":
            time.sleep(POLL_SECONDS)
        if not output.is_json:
            click.echo("the daemon restarts; its clients wait")
        now = _wait_restarted(target, begun["id"])
        if now is None:
            fail(
                f"the daemon does not answer after {RESTART_SECONDS_MAX:.0f} s: look into its log"
                " (`journalctl -u ramsterd`), and start it with `systemctl start ramsterd` if it has ended"
            )
        show(now, output, format_restarted)

    return restart


def _wait_restarted(target: Target, restart_id: str) -> dict[str, Any] | None:
    deadline = time.monotonic() + RESTART_SECONDS_MAX  # noqa: TID251  a command has no loop
    while time.monotonic() < deadline:  # noqa: TID251
        time.sleep(POLL_SECONDS)
        try:
            now: dict[str, Any] = try_ask(target, "status")["handover"]
        except AskFailed:
            continue  # between two processes
        if now["restart_id"] == restart_id:
            return now
    return None


def format_restarted(now: dict[str, Any]) -> str:
    """Return one line on a restart that is done."""
    kept, dropped = now["connections_total"], now["dropped_connections_total"]
    seconds = f"{now['gap_seconds']:.2f} s"
    if not kept:
        text = f"the daemon serves again after {seconds}: no client was waiting"
    else:
        text = f"the daemon serves again: {kept} {_clients(kept)} waited for {seconds}"
    return f"{text}, {dropped} {_clients(dropped)} disconnected" if dropped else text


def _clients(count: int) -> str:
    return "client" if count == 1 else "clients"
