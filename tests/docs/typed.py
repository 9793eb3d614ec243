"""A line of the documents with what becomes of it, and what stands in it for names of a real cluster."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from ramsterd.cli.bench_disk import CannotMeasure, open_unnamed
from tests.docs.pages import ROOT
from tests.system.rack import ALPHA, Done, Rack

# What is done between lines.
Stage = Callable[[Rack], object]


@dataclass(frozen=True)
class Typed:
    """A line as it is shown, with a part of what is printed."""

    line: str
    says: str
    # What it ends with; several where the machine decides, as it does of its own health.
    status: int | tuple[int, ...] = 0
    # What must not be printed; empty: nothing is wrong.
    says_not: str = ""
    # The node on whose machine it is typed, and the folder, below that of the cluster.
    at: str = ALPHA
    folder: str = "."
    # Behind the line: where the files are that an operator has in /etc/ramster, or what makes it take less time.
    more: str = ""
    # What stands in this line for a name, beside VALUES.
    names: Mapping[str, str] = field(default_factory=dict)
    # What the operator does as soon as a text is printed.
    seen: Mapping[str, Stage] = field(default_factory=dict)

    def __call__(self, rack: Rack) -> None:
        """Type it; see that it becomes of it what is expected."""
        line = shlex.join(self._words(rack))
        done = self._type(rack, line)
        expected = (self.status,) if isinstance(self.status, int) else self.status
        told = (
            f"{self.line}\ntyped as: {line}\nexit status {done.status}, expected {self.status};"
            f" expected {self.says!r} in:\n{done.said}"
        )
        assert done.status in expected, told
        assert self.says in done.said, told
        assert not self.says_not or self.says_not not in done.said, told

    def _words(self, rack: Rack) -> list[str]:
        values = {**VALUES, **self.names}
        words = shlex.split(f"{self.line} {self.more}")
        return [FOUND[word](rack) if word in FOUND else values.get(word, word) for word in words]

    def _type(self, rack: Rack, line: str) -> Done:
        if line.startswith("ramsterd run"):
            return rack.start(line, at=self.at, folder=self.folder, says=self.says)
        seen = {text: partial(stage, rack) for text, stage in self.seen.items()}
        return rack.type(line, at=self.at, folder=self.folder, seen=seen)


@dataclass(frozen=True)
class Elsewhere:
    """The test that runs a line."""

    test: str
    # Where the words of the command are, if not in the file of that test.
    typed_in: str = ""


def last_drain(rack: Rack) -> str:
    """Return the name of the drain that began last: jobs are numbered."""
    names: list[str] = [
        job["id"] for job in rack[ALPHA].ask("jobs")["jobs"] if job["kind"] == "drain"
    ]
    return max(names, key=lambda name: int(name.removeprefix("drain-")))


def disk(_: Rack) -> str:
    """Return a folder on a disk, where anybody may write."""
    for folder in (Path("/var/tmp"), ROOT):
        try:
            with open_unnamed(folder):
                return str(folder)
        except CannotMeasure:
            pass
    pytest.skip("needs a disk that takes O_DIRECT below /var/tmp or this folder")


# What is typed for a word of any line.
VALUES: Final = {
    # Sockets and files.
    "PATH": "alpha.sock",
    "control.sock": "alpha.sock",
    "/run/alpha/control.sock": "alpha.sock",
    "/run/ramster-b/control.sock": "beta.sock",
    "DIR": "rack7",
    "FILE": "rack7/alpha/ramsterd.toml",
    "alpha.toml": "rack7/alpha/ramsterd.toml",
    "beta.toml": "rack7/beta/ramsterd.toml",
    "/etc/ramster/ramsterd.toml": "rack7/gamma/ramsterd.toml",
    # The user of a pool is the one whose program has made it.
    "1000": str(os.getuid()),
    "USER": str(os.getuid()),
    # Addresses of this machine in the place of others'.
    "10.0.0.4": "127.0.0.4",
    "10.0.1.3": "127.0.0.3",
    "ADDRESS": "127.0.0.5",
    # Budgets of such small nodes.
    "8GiB": "24MiB",
    "12GiB": "20MiB",
    "SIZE": "16MiB",
}
# The same, where the machine or the cluster says what it is.
FOUND: Final[dict[str, Callable[[Rack], str]]] = {
    "/var/lib": disk,
    "JOB": last_drain,
    "drain-1": last_drain,
    "drain-4": last_drain,
}
