"""A process with the servers of one scene, which measures when it is asked to.

    python -m benchmarks.suite.worker SCENE [--quick] [--without-peers]

Standard output and standard input carry lines of JSON.  When all servers are ready it says

    {"loops": "compiled",
     "works": [{"name": "4k randread depth 32", "unit": "iops", "seconds": 1.0, "contestants": ["ramster", …]}, …]}

and for each line {"work": …, "contestant": …, "seconds": …} that it reads it measures once and says

    {"value": 114277.0, "processor_us": {"daemon": 8.6}}

or {"problem": …}.  {"skipped": …} in place of the works names what this machine lacks.  When its input ends it stops
all servers and ends.

So one process after the other, each with the code of another revision, can be asked in turn: who asks decides.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from benchmarks import harness
from benchmarks.suite.scenes import SCENES, find_scene
from benchmarks.suite.works import Setting, Work


def main() -> None:
    """Open a scene and answer."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scene", choices=sorted(SCENES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--without-peers", action="store_true")
    chosen = parser.parse_args()
    asked, answers = keep_streams_apart()
    harness.use_system_path()
    harness.on_signals(harness.end_in_order)
    setting = Setting(is_quick=chosen.quick, with_peers=not chosen.without_peers)
    try:
        with asked, find_scene(chosen.scene)(setting) as works:
            serve(works, asked, answers)
    except harness.Skipped as skipped:
        say(answers, {"skipped": str(skipped)})
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # another revision may be unable to do anything
        harness.on_signals(signal.SIG_IGN)
        traceback.print_exc()
        say(answers, {"problem": one_line(error)})
        sys.exit(1)


def keep_streams_apart() -> tuple[TextIO, TextIO]:
    """Take input and output for the protocol: programs read nothing, and what is printed is no answer."""
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return asked, answers


def serve(works: Sequence[Work], asked: Iterable[str], answers: TextIO) -> None:
    """Say what there is, and measure until nobody asks any more."""
    by_name = {work.name: work for work in works}
    assert len(by_name) == len(works), "two works have one name"
    say(answers, {"loops": harness.loops(), "works": [announced(work) for work in works]})
    for line in asked:
        ask = json.loads(line)
        say(answers, answer(by_name[ask["work"]], ask["contestant"], ask["seconds"]))


def announced(work: Work) -> dict[str, Any]:
    """Describe a work."""
    return {
        "name": work.name,
        "unit": work.unit,
        "seconds": work.seconds,
        "contestants": list(work.contestants),
    }


def answer(work: Work, contestant: str, seconds: float) -> dict[str, Any]:
    """Measure once."""
    try:
        return asdict(work.contestants[contestant](seconds))
    except Exception as error:  # the row says so, and the next one goes on
        traceback.print_exc()
        return {"problem": one_line(error)}


def one_line(error: Exception) -> str:
    """Say what went wrong."""
    first, *_ = [*str(error).splitlines(), ""]
    return f"{type(error).__name__}: {first}"


def say(answers: TextIO, message: dict[str, Any]) -> None:
    """Write a line."""
    print(json.dumps(message), file=answers, flush=True)


if __name__ == "__main__":
    main()
