"""`ramsterctl config`: the command line for the daemon's own file."""

import time
from typing import Any, Final

import click

from ramsterd.cli.ask import Ask
from ramsterd.cli.output import OUTPUT_OPTION, Output, fail, show, warn
from ramsterd.cli.target import AT_NODE, Target

POLL_SECONDS: Final = 0.1
# Files are read in a thread of the daemon; a disk that takes longer is told of.
RELOAD_SECONDS_MAX: Final = 30.0


def config_group(ask: Ask) -> click.Group:
    """Return the group."""

    @click.group()
    def config() -> None:
        """Make a running daemon read its files again."""

    @config.command("reload")
    @AT_NODE
    @OUTPUT_OPTION
    @click.pass_obj
    def reload(target: Target, output: Output) -> None:
        """Read ramsterd.toml, certificates and keys again, as SIGHUP does, and show the result.

        These changes are applied: log levels, quotas, rates, watermarks, limits on connections,
        users of tmem, and new or larger exports.  Changes that need a restart are listed.  After a
        mistake in a file nothing changes.
        """
        number = ask(target, "config-reload")["reload"]
        deadline = time.perf_counter() + RELOAD_SECONDS_MAX
        while (now := ask(target, "config"))["reloads_total"] < number:
            if time.perf_counter() >= deadline:
                fail(
                    f"no reload within {RELOAD_SECONDS_MAX:g} s: the disk has not answered yet; the log will show the result"
                )
            time.sleep(POLL_SECONDS)
        show(now, output, format_reload)
        warn(now["warnings"])
        for problem in now["problems"]:
            click.echo(f"ramsterctl: {problem}", err=True)
        if now["problems"]:
            raise SystemExit(1)

    return config


def format_reload(now: dict[str, Any]) -> str:
    """Return what a reload applied and left, a line each."""
    lines = [f"applied: {each}" for each in now["applied"]]
    lines += now["loaded"]
    if now["problems"]:
        return "\n".join(lines)  # what waited for a restart before still does: `status` says so
    lines += [f"needs a restart: {each}" for each in now["needs_restart"]]
    if not lines:
        lines = ["no key of ramsterd.toml has changed, and no certificate or key is new"]
    return "\n".join(lines)
