"""The cluster of the page: three nodes and a desk, on which the lines of the page are typed as they stand.

Three programs are played, because no machine of a test has their other side: `ssh` and `scp`, which type at another machine and
copy to it, and `ipmitool`, which switches the power of a machine.  All others are real.
"""

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.docs.pages import DOCS
from tests.system.namespaces import network
from tests.walkthrough.likeness import is_like
from tests.walkthrough.machines import Machine, Rack
from tests.walkthrough.package import Packages
from tests.walkthrough.page import HOSTS, Typed

PAGE: Final = DOCS / "walkthrough.md"
# What the page installs, and what it upgrades to.
VERSIONS: Final = ("0.1.0", "0.2.0")
# As the page calls the files, whatever this machine's kind is.
FILE_NAME: Final = "ramster_{}-1_amd64.deb"
TOOLS: Final = ("nbdinfo", "nbdcopy", "prometheus", "promtool", "curl", "jq")
# These only ask, and what they ask about takes its time: they are typed again until they say what the page shows.
ASKING: Final = re.compile(
    r"ramsterctl (?:health|nodes|status|jobs|events|exports|version|doctor|memory show)\b"
    r"|promtool query |curl .*/api/v1/"
)
ASK_EVERY_SECONDS: Final = 1.0
# Copies are made again after three seconds, an alert waits for its time, and cores may be shared.
ASK_SECONDS_MAX: Final = 120.0
SSH: Final = re.compile(r"ssh root@(\w+) (.+)")
SCP: Final = re.compile(r"scp (?:-r )?(\S+) root@(\w+):(\S+)")
POWER: Final = re.compile(r"ipmitool .*-H (\w+)-bmc .*chassis power (on|off)")
POWER_SAID: Final = {"on": "Up/On", "off": "Down/Off"}


class Replay:
    """The machines, and hands that type."""

    def __init__(self, rack: Rack) -> None:
        self._machines = rack.machines

    def type(
        self, typed: Typed, ask_seconds_max: float = ASK_SECONDS_MAX
    ) -> dict[str, tuple[str, ...]]:
        """Return what a line prints, by the hosts where it is typed.

        A line that asks is typed again until it prints what the page shows, or for so long.
        """
        with ThreadPoolExecutor() as pool:
            printed = pool.map(
                lambda host: self._type_at(host, typed, ask_seconds_max), typed.hosts
            )
            return dict(zip(typed.hosts, printed, strict=True))

    def _type_at(self, host: str, typed: Typed, ask_seconds_max: float) -> tuple[str, ...]:
        is_asking = ASKING.search(typed.command) is not None
        end = time.perf_counter() + ask_seconds_max
        while True:
            done = self._run(self._machines[host], typed.command)
            printed = tuple(done.stdout.splitlines())
            if not is_asking or is_like(typed.printed, printed):
                said = f"{host}# {typed.command}: exit status {done.returncode}\n{done.stdout}"
                assert done.returncode == typed.status, said
                return printed
            if time.perf_counter() > end:
                return printed
            time.sleep(ASK_EVERY_SECONDS)

    def _run(self, machine: Machine, line: str) -> subprocess.CompletedProcess[str]:
        if match := SSH.fullmatch(line):
            return self._run(self._machines[match[1]], match[2])
        if match := SCP.fullmatch(line):
            self._copy(machine, match[1], self._machines[match[2]], match[3])
            return subprocess.CompletedProcess(shlex.split(line), 0, "")
        if match := POWER.fullmatch(line):
            self._switch(self._machines[match[1]], match[2])
            said = f"Chassis Power Control: {POWER_SAID[match[2]]}\n"
            return subprocess.CompletedProcess(shlex.split(line), 0, said)
        return machine.run(line)

    @staticmethod
    def _copy(source: Machine, path: str, target: Machine, folder: str) -> None:
        """Copy as `scp -r` does."""
        # A path that ends in `/.` is what is in the folder: Path would cut that off.
        source_path = f"{source.root}/root/{path}"
        subprocess.run(["cp", "-r", source_path, f"{target.root}{folder}"], check=True)

    @staticmethod
    def _switch(machine: Machine, to: str) -> None:
        if to == "on":
            machine.power_on()
        else:
            machine.power_off()


@contextmanager
def replay(folder: Path) -> Iterator[Replay]:
    """Have the machines as the page finds them: booted, with both packages at hand."""
    with network(len(HOSTS)) as made, Rack(folder, made, HOSTS[1:] + HOSTS[:1]) as rack:
        with ThreadPoolExecutor() as pool:
            booted = pool.map(Machine.power_on, rack.machines.values())
            packages = Packages(folder)
            files = [packages.build(version) for version in VERSIONS]
            # What has failed there is raised here.
            list(booted)
        for machine in rack.machines.values():
            for version, file in zip(VERSIONS, files, strict=True):
                shutil.copy(file, machine.root / "root" / FILE_NAME.format(version))
        yield Replay(rack)
