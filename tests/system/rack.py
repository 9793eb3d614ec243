"""Three real daemons, called as the documents call them, and lines of the documents typed to them.

Their files are those of `ramsterctl cluster init`, with TLS as an operator gets it; sockets, budgets and timers are the
test's.  A line of `ramsterctl` runs in this process, which costs a hundredth of a process of its own.
"""

import io
import os
import re
import shlex
import signal
from collections.abc import Callable, Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from ramsterd.cli import ramsterctl
from ramsterd.client import Client, PoolKind
from tests.helpers.programs import RAMSTERD, environment, run_program
from tests.system.daemons import MIB, TIMERS, Node, free_ports, wait_until

ALPHA, BETA, GAMMA = NAMES = ("alpha", "beta", "gamma")
BUDGETS: Final = {ALPHA: "4MiB", BETA: "16MiB", GAMMA: "16MiB"}
# One copy, so that a node has last copies, as docs/operations.md has it of a node that is removed.
REMOTE: Final = "[remote]\ncopies = 1\n"
# Alpha has a tmem socket, and an export for each that the documents name.
OF_ALPHA: Final = """
[[export]]
name = "disk0"
size = "1MiB"

[[export]]
name = "disk1"
size = "1MiB"

[tmem]
socket = "{folder}/tmem.sock"
"""
RUN_BYTES: Final = MIB // 4
# Half of each is zeros, which take no memory: 6 MiB that can't be compressed.
RUNS: Final = 48
LINE_SECONDS_MAX: Final = 60


class Screen(io.StringIO):
    """What an operator looks at, who does something as soon as a text is there."""

    def __init__(self, seen: Mapping[str, Callable[[], object]]) -> None:
        super().__init__()
        self._awaited = dict(seen)

    def write(self, text: str) -> int:
        written = super().write(text)
        for awaited in [each for each in self._awaited if each in self.getvalue()]:
            self._awaited.pop(awaited)()
        return written


@dataclass(frozen=True)
class Done:
    """What became of a line."""

    status: int
    said: str


class Rack:
    """The nodes, each with its folder in `folder / "rack7"`."""

    def __init__(self, folder: Path, kept: Path) -> None:
        """Write the files of all.

        Args:
            folder: A short path, for sockets.
            kept: Where beta keeps its memory; the others keep none.
        """
        self.folder = folder
        ports = free_ports(len(NAMES))
        members = ",".join(
            f"{name}=127.0.0.1:{port}" for name, port in zip(NAMES, ports, strict=True)
        )
        disk = "--budget 1GiB --export swap0=32MiB"
        done = self.type(
            f"ramsterctl cluster init --name rack7 --nodes {members} {disk} --out rack7"
        )
        assert done.status == 0, done.said
        self.nodes = {
            name: self._node(number, port, "no" if name != BETA else str(kept))
            for number, (name, port) in enumerate(zip(NAMES, ports, strict=True), start=1)
        }

    def _node(self, number: int, port: int, keep: str) -> Node:
        """Return a node, and make its files those of a test."""
        name = NAMES[number - 1]
        home = self.folder / "rack7" / name
        node = Node(number, port, home / "ramsterd.toml", self.folder)
        node.name = name
        node.nbd, node.control = self.folder / f"{name}.nbd", self.folder / f"{name}.sock"
        members = home / "cluster.toml"
        timers = "".join(f"{key} = {value}\n" for key, value in TIMERS.items())
        members.write_text(f"{members.read_text()}\n[timers]\n{timers}")
        text = node.config.read_text()
        for before, after in {
            '"1GiB"': f'"{BUDGETS[name]}"\nkeep = "{keep}"',
            "/run/ramster/control.sock": str(node.control),
            "/run/ramster/nbd.sock": str(node.nbd),
        }.items():
            assert before in text
            text = text.replace(before, after)
        # All have the loopback of one machine.
        text = re.sub(r"\[metrics\]\nlisten = .*\n", "", text)
        of_alpha = OF_ALPHA.format(folder=self.folder) if name == ALPHA else ""
        node.config.write_text(f"{text}\n{REMOTE}{of_alpha}")
        return node

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def running(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.process is not None]

    def type(
        self,
        line: str,
        *,
        at: str = ALPHA,
        folder: str = ".",
        seen: Mapping[str, Callable[[], object]] | None = None,
    ) -> Done:
        """Type a line on the machine of a node, in a folder below that of the cluster; return when it has ended.

        Args:
            line: A command of `ramsterctl`, or of `ramsterd` but for `run` (see `start`).
            at: The node.
            folder: It is made if it is not there.
            seen: What the operator does when these texts are printed.
        """
        program, *words = shlex.split(line)
        where = self.folder / folder
        where.mkdir(parents=True, exist_ok=True)
        if program == "ramsterctl":
            return self._type_here(words, at, where, Screen(seen or {}))
        done = run_program(
            [*RAMSTERD, *words],
            capture_output=True, cwd=where, env=environment(), timeout=LINE_SECONDS_MAX,
        )  # fmt: skip
        return Done(done.returncode, done.stdout + done.stderr)

    def _type_here(self, words: list[str], at: str, where: Path, screen: Screen) -> Done:
        status: object = 0
        with pytest.MonkeyPatch.context() as patch, chdir(where):
            patch.setenv("RAMSTER_SOCKET", str(self.folder / f"{at}.sock"))
            with redirect_stdout(screen), redirect_stderr(screen):
                try:
                    ramsterctl.main(words, prog_name="ramsterctl")
                except SystemExit as end:
                    status = end.code
        assert isinstance(status, int)
        return Done(status, screen.getvalue())

    def start(self, line: str, *, at: str, folder: str, says: str) -> Done:
        """Type a line that runs the daemon of a node; return when it is ready, and its log says something."""
        node = self[at]
        begins_at = len(node.log)
        _, *words = shlex.split(line)
        node.start(words=words, folder=self.folder / folder)
        node.wait_ready()
        wait_until(lambda: says in node.log[begins_at:], f"{at} says: {says}")
        return Done(0, node.log[begins_at:])

    def wait_linked(self) -> None:
        """Wait until all that run are linked with each other."""
        numbers = {node.number for node in self.running()}
        for node in self.running():
            others = numbers - {node.number}
            wait_until(lambda: node.links() == others, f"{node.name} is linked")  # noqa: B023  called at once

    def fill(self, holder: str) -> None:
        """Have alpha write more than it has room for; wait until a node has some of these pages."""
        noise = os.urandom(RUN_BYTES // 2)
        with self[ALPHA].client() as client:
            for place in range(RUNS):
                client.write(place * RUN_BYTES, bytes(RUN_BYTES // 2) + noise)
        wait_until(lambda: self[holder].foreign_pages() > 0, f"{holder} has pages of alpha")

    def write_a_page(self, export: str) -> None:
        """Have a client of alpha write."""
        with self[ALPHA].client(export) as client:
            client.write(0, b"page" * 1024)

    def write_to_pools(self, *names: str) -> None:
        """Have a program at alpha keep a page in each of these pools."""
        with Client(self.folder / "tmem.sock") as client:
            for name in names:
                client.new_pool(PoolKind.PERSISTENT, name=name).put(b"o", 0, b"page" * 1024)

    def close(self) -> None:
        """Stop what runs and see that it was in order."""
        running = self.running()
        try:
            for node in running:
                node.send_signal(signal.SIGTERM)
            statuses = {node.name: node.wait_end() for node in running}
        finally:
            for node in self.running():
                node.kill()
        assert statuses == dict.fromkeys(statuses, 0)
        for node in self.nodes.values():
            assert "Traceback" not in node.log, node.name

    def print_logs(self) -> None:
        """Print all logs: pytest shows them when the test failed."""
        for node in self.nodes.values():
            print(f"--- log of {node.name}\n{node.log}")
