"""Type the lines of findings that change the machine at once: `ramsterctl doctor --apply`."""

import subprocess
from collections.abc import Iterable
from typing import Final

import click

from ramsterd.doctor.findings import Finding

_LINE_SECONDS_MAX: Final = 60.0


def apply_lines(findings: Iterable[Finding]) -> bool:
    """Run each line, once, and say so on stderr; return whether there was any."""
    lines = list(dict.fromkeys(each.fix for each in findings if each.applies_now))
    for line in lines:
        click.echo(f"type: {line}", err=True)
        if why := _why_it_failed(line):
            click.echo(f"ramsterctl: that failed: {why}", err=True)
    return bool(lines)


def _why_it_failed(line: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  lines of ours, as an operator would type them
            ["/bin/sh", "-c", line],
            capture_output=True, text=True, check=False, timeout=_LINE_SECONDS_MAX,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end within {_LINE_SECONDS_MAX:g} s"
    except OSError as error:
        return error.strerror or str(error)
    if done.returncode == 0:
        return ""
    return done.stderr.strip() or f"exit status {done.returncode}"
