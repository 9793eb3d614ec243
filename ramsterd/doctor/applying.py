"""Type the lines of findings that change the machine at once: `ramsterctl doctor --apply`.  A shell."""

import subprocess
from collections.abc import Iterable, Iterator
from typing import Final

from ramsterd.doctor.findings import Finding

_LINE_SECONDS_MAX: Final = 60.0


def apply_lines(findings: Iterable[Finding]) -> Iterator[tuple[str, str]]:
    """Run each line, once; yield it, and why it failed, if it did."""
    for line in dict.fromkeys(each.fix for each in findings if each.applies_now):
        yield line, _why_it_failed(line)


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
