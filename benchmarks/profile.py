"""Where the processor time of a row goes: each process of ours by rooms of the code, in microseconds a page.

    python -m benchmarks.profile [--only swap ...] [--work 'mix depth 1'] [--seconds 4]

Runs the works of a scene of the suite, ours alone, with daemons that sample themselves (`benchmarks.sampler`).  Sampling
costs some per cent, so the figures of `make bench` are the ones that count; this says what they are made of.
"""

import json
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from benchmarks import sampler
from benchmarks.suite.scenes import SCENES, find_scene
from benchmarks.suite.works import OURS, Measured, Setting, Work

WAIT_SECONDS_MAX = 10.0
# A process with less than this part of a row's time has nothing to do with it.
SHARE_MIN = 0.02
FUNCTIONS_SHOWN = 4
LOOPS = "compiled loops (codec, tables)"
SOCKETS = "sockets (system calls)"
POLLING = "polling and waiting"
# Functions whose time is that of what they call in C, or of a system call.
CALLS = {
    "Twin.": LOOPS,
    "HoldTwin.": LOOPS,
    "come_home": LOOPS,
    "begin_leaving": LOOPS,
    "_hand_over": LOOPS,
    "find_elsewhere": LOOPS,
    "TcpStream.": SOCKETS,
    "Exchange._send_now": SOCKETS,
    "Exchange._receive": SOCKETS,
    "UdpSocket.": SOCKETS,
    "Poller.": POLLING,
    "EpollIOManager.get_events": POLLING,
    "FileMapping.release": "giving memory back (system calls)",
}


def room_of(file: str, function: str) -> str:
    """Return what a sample counts for."""
    for beginning, room in CALLS.items():
        if function.startswith(beginning):
            return room
    parts = Path(file).parts
    if "site-packages" in parts:
        return "trio"
    for root in ("ramsterd", "net", "heartbeat", "nodemanager", "config"):
        if root in parts:
            rest = parts[parts.index(root) : -1]
            return "/".join(rest[: 3 if rest[:2] == ("ramsterd", "remote") else 2])
    return "the standard library"


class Daemons:
    """Those that write into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pids(self) -> list[int]:
        """Return the processes below this one that sample themselves."""
        found = []
        for status in Path("/proc").glob("[0-9]*/environ"):
            try:
                is_ours = f"{sampler.VARIABLE}={self._folder}".encode() in status.read_bytes()
            except OSError:
                continue  # it has ended
            if is_ours and b"ramsterd" in status.with_name("cmdline").read_bytes():
                found.append(int(status.parent.name))
        return found

    def begin(self) -> None:
        """Have all of them count anew."""
        for pid in self.pids():
            os.kill(pid, sampler.BEGIN)

    def counted(self) -> list[dict[str, Any]]:
        """Return what they have counted, the one with most time first."""
        pids = self.pids()
        for pid in pids:
            (self._folder / f"{pid}.json").unlink(missing_ok=True)
            os.kill(pid, sampler.WRITE)
        end = time.monotonic() + WAIT_SECONDS_MAX
        found = list[dict[str, Any]]()
        for pid in pids:
            path = self._folder / f"{pid}.json"
            while not path.exists() and time.monotonic() < end:
                time.sleep(0.02)
            found.append(json.loads(path.read_text()))
        return sorted(found, key=lambda each: -each["seconds"])


def print_work(work: Work, measured: Measured, counted: list[dict[str, Any]]) -> None:
    """Print what each process of a row did."""
    print(f"  {work.name}: {measured.value:,.4g} {work.unit}")
    most = counted[0]["seconds"]
    busy = [each for each in counted if each["seconds"] > SHARE_MIN * most]
    names = sorted(measured.processor_us, key=lambda name: -measured.processor_us[name])
    for name, process in zip(names, busy, strict=False):
        total = sum(count for *_, count in process["functions"])
        rooms, functions = Counter[str](), Counter[str]()
        for file, function, count in process["functions"]:
            room = room_of(file, function)
            rooms[room] += count
            functions[f"{Path(file).stem}.{function}"] += count
        us = measured.processor_us[name]
        parts = [
            f"{room} {us * count / total:.2f}"
            for room, count in rooms.most_common()
            if count > SHARE_MIN * total
        ]
        top = [
            f"{function} {us * count / total:.2f}"
            for function, count in functions.most_common(FUNCTIONS_SHOWN)
        ]
        print(f"    {name} {us:.2f} us a page: {', '.join(parts)}")
        print(f"      most: {', '.join(top)}", flush=True)


@click.command(help=__doc__)
@click.option(
    "--only",
    type=click.Choice(sorted(SCENES)),
    multiple=True,
    help="A scene; all if none is named.",
)
@click.option("--work", default="", help="Only works with this in their names.")
@click.option("--seconds", default=4.0, show_default=True, help="How long each work is sampled.")
def main(only: tuple[str, ...], work: str, seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="ramster-samples-") as name:
        folder = Path(name)
        os.environ[sampler.VARIABLE] = str(folder)
        # This process and what else it runs go on.
        for number in (sampler.SAMPLE, sampler.BEGIN, sampler.WRITE):
            signal.signal(number, signal.SIG_IGN)
        daemons = Daemons(folder)
        for scene in only or ("nbd_local", "nbd_remote", "swap", "far"):
            print(scene, flush=True)
            with find_scene(scene)(Setting(with_peers=False)) as works:
                for each in works:
                    if work in each.name and OURS in each.contestants:
                        each.contestants[OURS](1.0)
                        daemons.begin()
                        measured = each.contestants[OURS](seconds)
                        print_work(each, measured, daemons.counted())


if __name__ == "__main__":
    main()
