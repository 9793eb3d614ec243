"""Fuzzes one target in a process of its own: python -m tests.fuzz.worker TARGET FOLDER [libFuzzer's options].

An exception that comes out of the target is noted and fuzzing goes on: of inputs that end in the same line the
shortest is kept, so a finding grows smaller by itself.  What Python can't catch (a hang, too much memory, a crash)
ends the process, and libFuzzer keeps the input.
"""

import logging
import random
import sys
from pathlib import Path
from typing import Final

import atheris

from tests.fuzz.findings import Findings
from tests.fuzz.target import Target, load

# What coverage guides; the standard library's reader of TOML is a decoder of ours too.
INSTRUMENTED: Final = ["config", "heartbeat", "net", "nodemanager", "ramsterd", "tomllib"]


def fuzz(target: Target, findings: Findings, arguments: list[str]) -> None:
    """Fuzz until libFuzzer ends the process."""

    def check(data: bytes) -> None:
        try:
            target.check(data)
        except Exception as error:
            findings.note(data, error)

    def mutate(data: bytes, bytes_max: int, seed: int) -> bytes:
        """Mutate as libFuzzer does, then repair; or repair alone, for it may change things too."""
        rng = random.Random(seed)
        kind = rng.randrange(4)
        if kind:
            data = atheris.Mutate(data, bytes_max)
        if kind != 1:
            data = target.repair(data, rng)
        return data[:bytes_max]

    atheris.Setup([sys.argv[0], *arguments], check, custom_mutator=mutate)
    atheris.Fuzz()


def main() -> None:
    """Run it."""
    name, folder, *arguments = sys.argv[1:]
    # Warnings about what strangers do are right, and many.
    logging.disable()
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = load(name)
    fuzz(target, Findings(Path(folder)), arguments)


if __name__ == "__main__":
    main()
