"""What all benchmarks share: the machine, rounds, medians, and rows that judge themselves by their numbers.

Two shared cores are noisy.  So who is compared takes turns within one run, every figure is a median over rounds,
and what counts is the ratio of two medians beside its bar; the bars of the suite are in benchmarks/suite/bars.py.
"""

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

ROUNDS = 5
LIBRARIES = ("trio", "msgpack", "lz4", "xxhash")
# `ip`, `tc` and others live where only root's path leads.
SYSTEM_PATH = "/usr/sbin:/sbin"


class Skipped(Exception):
    """This machine lacks what a benchmark needs; the message names it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of the suite found: its rows, its bars by name, and what could not be measured."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    judged: list[tuple[str, bool]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def is_good(self, *, is_quick: bool) -> bool:
        """Whether all was measured, and all bars were reached; figures of a quick run mean nothing."""
        return not self.failures and (is_quick or all(is_reached for _, is_reached in self.judged))


@dataclass(frozen=True, slots=True)
class Options:
    """How long to measure, and where rows that are kept are noted."""

    rounds: int = ROUNDS
    is_quick: bool = False
    outcome: Outcome = field(default_factory=Outcome)

    def seconds(self, usual: float) -> float:
        """Return how long one measurement of one round lasts."""
        return 0.3 if self.is_quick else usual


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure should reach."""

    value: float
    is_floor: bool
    unit: str = "x"

    def __str__(self) -> str:
        return f"{'at least' if self.is_floor else 'at most'} {self.value:g}{self.unit}"

    def is_reached(self, figure: float) -> bool:
        """Compare."""
        return figure >= self.value if self.is_floor else figure <= self.value


def at_least(value: float, unit: str = "x") -> Bar:
    """A floor."""
    return Bar(value, is_floor=True, unit=unit)


def at_most(value: float, unit: str = "x") -> Bar:
    """A ceiling."""
    return Bar(value, is_floor=False, unit=unit)


@dataclass(frozen=True, slots=True)
class Samples:
    """The same measurement of all rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        return f"{number(self.median)} ({number(min(self.values))}-{number(max(self.values))})"


def turns(rounds: int, count: int) -> Iterator[int]:
    """Yield whose turn it is: each once a round, in an order that turns around."""
    for round_ in range(rounds):
        yield from range(count) if round_ % 2 == 0 else reversed(range(count))


def interleaved(rounds: int, *measures: Callable[[], float]) -> list[Samples]:
    """Let each measure once a round."""
    values: list[list[float]] = [[] for _ in measures]
    for each in turns(rounds, len(measures)):
        values[each].append(measures[each]())
    return [Samples(tuple(each)) for each in values]


def print_comparison(
    work: str, unit: str, ours: Samples, peer: str, theirs: Samples, bar: Bar | None = None
) -> None:
    """Print one line: ours, theirs, the ratio of the medians, the bar if there is one."""
    ratio = ours.median / theirs.median
    judged = "" if bar is None else f"  {verdict(ratio, bar)}"
    print(
        f"  {work:26} {ours!s:28} {peer} {theirs!s:26} {unit:6} {ratio:5.2f}x{judged}", flush=True
    )


def print_figure(work: str, figure: float, unit: str, bar: Bar | None = None) -> None:
    """Print one line: a figure that stands alone, and its bar."""
    judged = "" if bar is None else f"  {verdict(figure, bar)}"
    print(f"  {work:56} {number(figure)} {unit}{judged}", flush=True)


def verdict(figure: float, bar: Bar) -> str:
    """Return the bar and whether the figure reaches it."""
    return f"bar {bar}: {'reached' if bar.is_reached(figure) else 'not reached'}"


def number(value: float) -> str:
    """Return a number with about three digits."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


# The machine.


def machine() -> str:
    """Name the processor, the cores that are ours, the memory and the kernel."""
    cores, gibibytes = len(os.sched_getaffinity(0)), memory_bytes() / 2**30
    kernel = f"{platform.system()} {platform.release()}"
    return f"{cpu_model()}, {cores} cores, {gibibytes:.0f} GiB, {kernel}"


def machine_lines() -> list[str]:
    """Say what the figures were measured on."""
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    return [
        f"machine: {machine()}",
        f"python {platform.python_version()}, {versions}; load {os.getloadavg()[0]:.1f}",
        f"inner loops: {loops()}",
    ]


def loops() -> str:
    """Say which inner loops this code runs: compiled ones, or those of Python, and why."""
    try:
        compiled = importlib.import_module("ramsterd.compiled")
    except ImportError:
        return "Python (there are no others)"
    return str(compiled.describe())


def cpu_model() -> str:
    """Return what /proc/cpuinfo calls the processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def memory_bytes() -> int:
    """Return the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def need_tools(*names: str) -> None:
    """Raise Skipped unless all these programs are there."""
    for name in names:
        if shutil.which(name) is None:
            raise Skipped(f"needs {name}")


def need_modules(*names: str) -> None:
    """Raise Skipped unless all these can be imported."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise Skipped(f"needs the Python package {name}")


def need_root() -> None:
    """Raise Skipped for others."""
    if os.geteuid() != 0:
        raise Skipped("needs root")


@contextlib.contextmanager
def temp_dir() -> Iterator[Path]:
    """A folder whose path is short enough for Unix sockets, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="ramster-bench-") as folder:
        yield Path(folder)


# Running.

Benchmark = Callable[[Options], None]


def run_one(name: str, benchmark: Benchmark, options: Options) -> None:
    """Print a heading and run, or say what is missing."""
    print(f"\n{name}", flush=True)
    try:
        benchmark(options)
    except Skipped as skipped:
        print(f"  skipped: {skipped}", flush=True)


def arguments(benchmarks: dict[str, Benchmark], description: str | None) -> argparse.ArgumentParser:
    """Return what the command line of one benchmark or of all takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_measuring_arguments(parser, benchmarks)
    return parser


def add_measuring_arguments(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Say what is measured, and how often."""
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="measurements of each figure")
    parser.add_argument(
        "--only", action="append", choices=sorted(names), help="this one (may be repeated)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test: its figures mean nothing"
    )


def options_of(chosen: argparse.Namespace) -> Options:
    """Return how long to measure."""
    return Options(
        rounds=min(chosen.rounds, 2) if chosen.quick else chosen.rounds, is_quick=chosen.quick
    )


def run_chosen(
    benchmarks: dict[str, Benchmark], chosen: argparse.Namespace, options: Options
) -> None:
    """Run what the command line chose."""
    use_system_path()
    on_signals(end_in_order)
    print("\n".join(machine_lines()))
    print(f"medians of {options.rounds} rounds (smallest-largest), taking turns with the peer")
    try:
        for name, benchmark in benchmarks.items():
            if not chosen.only or name in chosen.only:
                run_one(name, benchmark, options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)


def run_main(benchmarks: dict[str, Benchmark], description: str | None) -> None:
    """Be the command line of one benchmark."""
    chosen = arguments(benchmarks, description).parse_args()
    run_chosen(benchmarks, chosen, options_of(chosen))


def use_system_path() -> None:
    """Find the programs of root, too."""
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"


def on_signals(action: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    """Say what Ctrl-C and SIGTERM do."""
    for number_ in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number_, action)


def end_in_order(_number: int, _frame: FrameType | None) -> NoReturn:
    """Stop everything that was started, whatever signals come meanwhile."""
    on_signals(signal.SIG_IGN)
    raise KeyboardInterrupt
