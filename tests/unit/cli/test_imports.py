"""What programs import that are short: who types a command waits for all of it, each time."""

import subprocess
import sys

import pytest

from tests.system.daemons import environment

HEAVY = {"trio", "prometheus_client", "cryptography"}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["ramsterd.cli.ramsterctl", "ramsterd.client"])
def test_what_only_the_daemon_needs_is_not_imported(module: str) -> None:
    code = f"import sys, {module}; print({HEAVY!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, check=True, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "set()\n"
