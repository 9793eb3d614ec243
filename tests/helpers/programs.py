"""Start our programs as front ends do, but quickly: by a fork of a process that has all imports (`tests.helpers.fork_server`).

`run_program` and `Program` take what `subprocess.run` and `subprocess.Popen` take.  What a fork can't do they leave to
these: another program, another interpreter's switches, a prefix that is not `ip netns exec`, a function before `exec`
that is not `heed_interrupts`, descriptors that keep their numbers.
A test of what a process is from its beginning, such as its memory, asks for `subprocess` itself.
"""

import atexit
import inspect
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.helpers import fork_server

RAMSTERD: Final = [sys.executable, "-c", "from ramsterd.cli.entry import main; main()"]
RAMSTERCTL: Final = [
    sys.executable,
    "-c",
    "from ramsterd.cli.entry import ramsterctl; ramsterctl()",
]
# By the line that an interpreter is given, which statements may stand before.
MODULES: Final = {RAMSTERD[-1]: "ramsterd.cli.entry", RAMSTERCTL[-1]: "ramsterd.cli.ramsterctl"}
# Arranges descriptors as systemd does, and becomes the program.
_LISTEN: Final = """
import os, sys
from ramsterd.host.successor import replace_process
names, fds, *command = sys.argv[1:]
named = zip(names.split(":"), map(int, fds.split(","))) if fds else []
replace_process(named, command, dict(os.environ))
"""
ROOT: Final = Path(__file__).parents[2]
# What stands before the name of a network namespace, and that before a command.
_IN_NETWORK: Final = ("ip", "netns", "exec")
# What an interpreter heeds only as it starts.
AT_START: Final = ("PYTHON", "LC_", "LANG", "MALLOC_", "LD_", "GLIBC_")


def environment() -> dict[str, str]:
    """Return our environment, in which this tree is importable and no service manager is spoken to."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    }
    return inherited | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def changed_by(statements: str) -> list[str]:
    """Return what runs a daemon after some statements, each on a line of its own.

    What they change of a module is seen by those that look it up there: all modules are imported in a fork.
    """
    *program, line = RAMSTERD
    return [*program, f"{statements.strip()}\n{line}"]


def heed_interrupts() -> None:
    """For `preexec_fn` of what is ended by Ctrl-C: a shell that starts the tests in the background has them, and all that they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Server:
    """The process that forks for this one."""

    def __init__(self) -> None:
        self.at_start = at_start(environment())
        self._one_at_a_time = threading.Lock()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, fork_server.__file__],
                stdin=theirs.fileno(),
                env=environment(),
                cwd=ROOT,
            )
        atexit.register(self.close)

    def close(self) -> None:
        self._orders.close()
        self._process.wait()

    def ask(self, order: Mapping[str, Any], fds: Sequence[int] = ()) -> Any:
        with self._one_at_a_time:
            socket.send_fds(self._orders, [json.dumps(order).encode()], fds)
            answer = self._orders.recv(fork_server.ORDER_BYTES_MAX)
        assert answer, "the server that forks has ended"
        return json.loads(answer)


_servers: dict[int, _Server] = {}


def _server() -> _Server:
    """Return the one of this process: a fork of it, such as a test makes, has its own."""
    if os.getpid() not in _servers:
        _servers[os.getpid()] = _Server()
    return _servers[os.getpid()]


def at_start(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what of it an interpreter heeds only as it starts."""
    return {name: value for name, value in variables.items() if name.startswith(AT_START)}


class Program(subprocess.Popen[Any]):
    """A fork of the server where that is the same as a program of its own, else one."""

    def __init__(
        self, command: Sequence[str | Path], *, listen: Sequence[str] | None = None, **more: Any
    ) -> None:
        """See `subprocess.Popen`.

        Args:
            command: The program and its arguments.
            listen: Names of the descriptors in `pass_fds`, which are passed as a service manager does.
                None: they keep their numbers, as `subprocess` passes them.
            more: What else `subprocess.Popen` takes.
        """
        self._listen = listen
        self._server: _Server | None = None
        super().__init__([str(each) for each in command], **more)

    # What follows `subprocess` asks of itself.

    def _execute_child(self, *arguments: Any) -> None:
        asked = _EXECUTE_CHILD.bind(self, *arguments).arguments
        server = server_for(asked, self._listen)
        if server is None:
            if self._listen is not None:
                fds = ",".join(map(str, asked["pass_fds"]))
                command = [
                    sys.executable,
                    "-c",
                    _LISTEN,
                    ":".join(self._listen),
                    fds,
                    *asked["args"],
                ]
                arguments = (command, *arguments[1:])
            super()._execute_child(*arguments)  # type: ignore[misc]  # not in its stub
            return
        pipes = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        standard = [number if pipe == -1 else pipe for number, pipe in enumerate(pipes)]
        network, words = network_and_command(asked["args"])
        statements, line = statements_and_line(words)
        order = {
            "module": MODULES[line],
            "statements": statements,
            "command": words,
            "network": network,
            "environment": {**variables(asked)},
            "folder": os.path.abspath(asked["cwd"] or "."),
            "is_leader": bool(asked["start_new_session"]),
            "heeds_interrupts": asked["preexec_fn"] is heed_interrupts,
            "listen": self._listen,
        }
        self.pid = server.ask(order, [*standard, *asked["pass_fds"]])
        self._server, self._child_created = server, True
        self._close_pipe_fds(*(asked[name] for name in _PIPES))  # type: ignore[attr-defined]  # not in its stub

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self._server is None:
            answer: tuple[int, int] = super()._try_wait(flags)  # type: ignore[misc]  # not in its stub
            return answer
        if not flags & os.WNOHANG:
            self._wait_ended()
        pid, status = self._server.ask({"wait": self.pid})
        return pid, status

    def _wait_ended(self) -> None:
        """Wait until it can be asked how it ended: until it is that itself, nobody has taken its id."""
        watched = os.pidfd_open(self.pid)
        try:
            select.select([watched], [], [])
        finally:
            os.close(watched)

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):  # type: ignore[attr-defined]  # not in its stub
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid == self.pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]  # not in its stub
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]  # not in its stub
        return self.returncode


_EXECUTE_CHILD: Final = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]  # not in its stub
_PIPES: Final = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
# What a fork is not: each with the value that asks for nothing.
_OF_A_PROGRAM: Final = {
    "shell": False, "gid": None, "gids": None, "uid": None, "umask": -1, "process_group": -1,
}  # fmt: skip


def server_for(asked: Mapping[str, Any], listen: Sequence[str] | None) -> _Server | None:
    """Return the server that can fork what `subprocess` was asked for; `listen` is that of `Program`."""
    _, words = network_and_command(asked["args"])
    _, line = statements_and_line(words)
    if line not in MODULES:
        return None
    if any(asked[name] != usual for name, usual in _OF_A_PROGRAM.items()):
        return None
    if asked["preexec_fn"] not in {None, heed_interrupts}:
        return None
    # A fork has the standard ones, and those that it is told to listen at.
    if asked["pass_fds"] and listen is None:
        return None
    server = _server()
    return server if server.at_start == at_start(variables(asked)) else None


def network_and_command(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Return the network namespace that a command is started in, None for our own, and the command."""
    if tuple(words[: len(_IN_NETWORK)]) != _IN_NETWORK:
        return None, words
    return words[len(_IN_NETWORK)], words[len(_IN_NETWORK) + 1 :]


def statements_and_line(words: Sequence[str]) -> tuple[str, str]:
    """Return what an interpreter is given: its last line, and the statements before that."""
    if list(words[:2]) != RAMSTERD[:2] or len(words) < len(RAMSTERD):
        return "", ""
    statements, _, line = words[2].rpartition("\n")
    return statements, line


def variables(asked: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the environment that `subprocess` was asked for."""
    return os.environ if asked["env"] is None else asked["env"]


def run_program(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; see `subprocess.run`, without `input`.  What it prints is text."""
    must_succeed, timeout = more.pop("check", False), more.pop("timeout", None)
    if more.pop("capture_output", False):
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Program(command, **{"text": True, **more}) as program:
        try:
            output, errors = program.communicate(timeout=timeout)
        except BaseException:
            program.kill()
            raise
    done = subprocess.CompletedProcess[str](program.args, program.returncode, output, errors)
    if must_succeed:
        done.check_returncode()
    return done
