"""`ramsterctl bench`: is a page faster in the memory of a peer than on this machine's disk."""

import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from config.errors import Mismatch
from config.limits import PAGE_BYTES
from config.units import parse_bytes
from ramsterd.admin.bench_pages import RATIO_MIN, bench_pages
from ramsterd.cli.ask import Ask
from ramsterd.cli.bench_disk import CannotMeasure, bench_disk, open_unnamed
from ramsterd.cli.bench_socket import bench_socket
from ramsterd.cli.format_bench import format_bench, verdict_of
from ramsterd.cli.output import INTERRUPTED, OUTPUT_OPTION, Output, fail, show
from ramsterd.cli.progress_line import ProgressLine
from ramsterd.cli.target import Target

POLL_SECONDS: Final = 0.2
# A client's way to the daemon varies little.
SOCKET_SECONDS_MAX: Final = 1.0


def bench_command(ask: Ask) -> click.Command:
    """Return the command."""

    @click.command("bench")
    @click.option(
        "--path",
        type=click.Path(path_type=Path),
        help="A folder on the disk to compare with, or a file there that does not exist.",
    )
    @click.option(
        "--ratio",
        type=click.FloatRange(RATIO_MIN, 1.0),
        default=0.5,
        show_default=True,
        help="What is left of a page when it is compressed.",
    )
    @click.option(
        "--seconds",
        type=click.FloatRange(0.1, 60.0),
        default=5.0,
        show_default=True,
        help="How long each row takes.",
    )
    @click.option(
        "--bytes",
        "size",
        metavar="SIZE",
        help="Pages at each place; by default 16MiB, and at most an eighth of the budget.",
    )
    @OUTPUT_OPTION
    @click.pass_obj
    def bench(
        target: Target,
        path: Path | None,
        ratio: float,
        seconds: float,
        size: str | None,
        output: Output,
    ) -> None:
        """Measure how fast a page is here, at each peer, and on a disk.

        Each row has the latency of one page at a time, and the rate of 32 at a time.  Pages travel
        to peers as pages do otherwise.  With --path the last line says whether remote memory is
        faster than that disk: it adds what a client pays for the socket to the daemon.

        Nothing that the node keeps is moved or dropped for it, and nothing stays behind, also after
        Ctrl-C.  It is refused when the node is nearly full.
        """
        count = None if size is None else _parse_size(size)
        line = ProgressLine(sys.stderr)
        say = partial(_say, line, is_quiet=output.is_json)
        try:
            if path is not None:  # what can't be measured is said before anything is
                with open_unnamed(path):
                    pass
            with line:
                rows, count = _measure_daemon(
                    ask, target, say, ratio=ratio, seconds=seconds, size=count
                )
                say("a client's socket", "read", 1)
                rows.append(bench_socket(min(seconds, SOCKET_SECONDS_MAX)))
                if path is not None:
                    rows += bench_disk(
                        path,
                        bench_pages(ratio, random.Random()),  # noqa: S311  noise, no secret
                        pages_count=count // PAGE_BYTES,
                        seconds=seconds,
                        say=partial(say, str(path)),
                    )
        except CannotMeasure as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail("the benchmark was ended; nothing of it stays", INTERRUPTED)
        result = {
            "ratio": ratio, "seconds": seconds, "bytes": count, "rows": rows, "verdict": verdict_of(rows),
        }  # fmt: skip
        show(result, output, format_bench)

    return bench


def _parse_size(text: str) -> int:
    try:
        return parse_bytes(text)
    except Mismatch as mismatch:
        raise click.BadParameter(
            f"found {text!r}, expected {mismatch}", param_hint="--bytes"
        ) from None


def _say(line: ProgressLine, where: str, operation: str, depth: int, *, is_quiet: bool) -> None:
    if not is_quiet:
        text = f"measuring {where}: {operation}s at depth {depth}"
        line.show(text, text, now=time.perf_counter())


def _measure_daemon(
    ask: Ask,
    target: Target,
    say: Callable[[str, str, int], None],
    *,
    ratio: float,
    seconds: float,
    size: int | None,
) -> tuple[list[dict[str, Any]], int]:
    """Have the daemon measure itself and its peers; return the rows, and how many bytes it took."""
    begun = ask(target, "bench-begin", ratio=ratio, seconds=seconds, bytes=size)
    try:
        while (now := ask(target, "bench"))["is_running"] and now["number"] == begun["number"]:
            if (doing := now["doing"]) is not None:
                say(doing["target"], doing["operation"], doing["depth"])
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        ask(target, "bench-end")
        raise
    if now["number"] != begun["number"]:
        fail("another benchmark has begun meanwhile: repeat this one")
    return now["rows"], begun["bytes"]
