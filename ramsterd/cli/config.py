"""`ramsterctl config`: the command line for the daemon's own file."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

POLL_SECONDS: Final = 0.1
# Files are read in a thread of the daemon; a disk that takes longer is told of.
RELOAD_SECONDS_MAX: Final = 30.0
Ask = Callable[..., Any]


def config_group(ask: Ask) -> click.Group:
    """Return the group; `ask(socket_path, command, **arguments)` returns a result or ends the process."""

    @click.group()
    def config() -> None:
        """Have a running daemon read its files again."""

    @config.command("reload")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
    @click.pass_obj
    def reload(socket_path: Path, as_json: bool) -> None:
        """Read ramsterd.toml, certificates and keys again, as SIGHUP does, and tell what became of it.

        Log levels, quotas, rates, watermarks, limits on connections, users of tmem, and exports that are new or have
        grown are applied.  What needs a restart is named.  A file that is wrong changes nothing: exit status 1.
        """
        number = ask(socket_path, "config-reload")["reload"]
        deadline = time.perf_counter() + RELOAD_SECONDS_MAX
        while (now := ask(socket_path, "config"))["reloads_total"] < number:
            if time.perf_counter() >= deadline:
                click.echo(
                    f"ramsterctl: not reloaded within {RELOAD_SECONDS_MAX:g} s: the disk is still at it; the log will"
                    " tell",
                    err=True,
                )
                raise SystemExit(1)
            time.sleep(POLL_SECONDS)
        if text := json.dumps(now, indent=2) if as_json else format_reload(now):
            click.echo(text)
        for problem in now["problems"]:
            click.echo(f"ramsterctl: {problem}", err=True)
        if now["problems"]:
            raise SystemExit(1)

    return config


def format_reload(now: dict[str, Any]) -> str:
    """Return what a reload applied and left, a line each."""
    lines = [f"applied: {each}" for each in now["applied"]]
    lines += [f"needs a restart: {each}" for each in now["needs_restart"]]
    if not lines and not now["problems"]:
        lines = ["no key of ramsterd.toml has changed"]
    return "\n".join(lines)
