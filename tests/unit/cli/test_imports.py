"""What programs import at their start, for which who types a command or has a daemon restarted waits."""

import subprocess
import sys

import pytest

from tests.helpers.programs import environment

ONLY_WITH_METRICS = {"prometheus_client", "h11"}
ONLY_IN_THE_DAEMON = {"trio", "cryptography"} | ONLY_WITH_METRICS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("ramsterd.cli.ramsterctl", ONLY_IN_THE_DAEMON),
        ("ramsterd.client", ONLY_IN_THE_DAEMON),
        ("ramsterd.cli.ramsterd", ONLY_WITH_METRICS),
    ],
)
def test_what_is_not_needed_is_not_imported(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print({heavy!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, check=True, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "set()\n"
