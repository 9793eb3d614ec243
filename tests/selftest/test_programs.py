"""A program that is a fork is as one that was begun by itself; what a fork can't be is begun by itself."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import fork_server
from tests.helpers.fork_server import NETWORKS
from tests.helpers.programs import (
    RAMSTERCTL,
    Program,
    changed_by,
    environment,
    heed_interrupts,
    run_program,
)
from tests.helpers.requirements import require_namespaces
from tests.system.namespaces import network

pytestmark = pytest.mark.slow

COMMANDS = (["--help"], ["--socket", "none.ctl", "status"], ["nothing"], ["version", "-o", "json"])


def judged(
    start: Callable[..., subprocess.CompletedProcess[str]], folder: Path, *arguments: str
) -> tuple[int, str, str]:
    done = start(
        [*RAMSTERCTL, *arguments],
        capture_output=True, check=False, text=True, env=environment(), cwd=folder, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_fork_prints_and_ends_as_the_program_does(arguments: list[str], tmp_path: Path) -> None:
    assert judged(run_program, tmp_path, *arguments) == judged(subprocess.run, tmp_path, *arguments)


def test_a_fork_runs_what_stands_before_its_program_and_keeps_all_of_its_command() -> None:
    command = changed_by("""
import sys
print(sys.orig_argv[1:2], sys.argv[1:])
""")
    with Program(
        [*command, "--version"], env=environment(), stdout=subprocess.PIPE, text=True
    ) as program:
        assert program._server is not None
        said, _ = program.communicate(timeout=60)
    assert said.splitlines()[0] == "['-c'] ['--version']"
    assert program.returncode == 0


def test_a_fork_has_its_folder_and_its_standard_files_and_no_others(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "daemon"))
        listener.listen()
        command = [*RAMSTERCTL, "--socket", "daemon", "status"]
        with Program(command, stdin=subprocess.DEVNULL, env=environment(), cwd=tmp_path) as program:
            # It waits for an answer.
            connected, _ = listener.accept()
            with connected:
                opened = sorted(int(name) for name in os.listdir(f"/proc/{program.pid}/fd"))
                folder = Path(f"/proc/{program.pid}/cwd").readlink()
                program.kill()
    assert (opened, folder) == ([0, 1, 2, 3], tmp_path)
    assert program.returncode == -signal.SIGKILL


def test_a_fork_is_in_the_network_that_it_is_started_in(tmp_path: Path) -> None:
    require_namespaces()
    with network(1) as made, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "daemon"))
        listener.listen()
        command = [*made.inside(1), *RAMSTERCTL, "--socket", "daemon", "status"]
        with Program(command, env=environment(), cwd=tmp_path) as program:
            # It waits for an answer.
            connected, _ = listener.accept()
            with connected:
                found = Path(f"/proc/{program.pid}/ns/net").stat().st_ino
                begun = Path(f"/proc/{program.pid}/cmdline").read_bytes()
                program.kill()
        (inside,) = made.inside(1)[-1:]
        assert found == (NETWORKS / inside).stat().st_ino
    assert fork_server.__file__.encode() in begun


def test_a_fork_that_heeds_interrupts_is_ended_by_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "daemon"))
        listener.listen()
        command = [*RAMSTERCTL, "--socket", "daemon", "status"]
        with Program(
            command, env=environment(), cwd=tmp_path, preexec_fn=heed_interrupts
        ) as program:
            # It waits for an answer.
            connected, _ = listener.accept()
            with connected:
                begun = Path(f"/proc/{program.pid}/cmdline").read_bytes()
                program.send_signal(signal.SIGINT)
                assert program.wait(60) == 130
    assert fork_server.__file__.encode() in begun


def test_descriptors_that_are_passed_keep_their_numbers(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX) as listener,
        open(os.devnull, "rb") as passed,
    ):
        listener.bind(str(tmp_path / "daemon"))
        listener.listen()
        command = [*RAMSTERCTL, "--socket", "daemon", "status"]
        fd = passed.fileno()
        with Program(command, env=environment(), cwd=tmp_path, pass_fds=[fd]) as program:
            # It waits for an answer.
            connected, _ = listener.accept()
            with connected:
                found = Path(f"/proc/{program.pid}/fd/{fd}").readlink()
                program.kill()
    assert found == Path(os.devnull)


def test_what_a_fork_can_not_be_is_a_program_of_its_own() -> None:
    with Program([sys.executable, "-c", "raise SystemExit(7)"], env=environment()) as other:
        assert other.wait(60) == 7
    ignored = {**environment(), "PYTHONHASHSEED": "1"}
    done = run_program([*RAMSTERCTL, "--help"], env=ignored, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert "Usage: " in done.stdout
