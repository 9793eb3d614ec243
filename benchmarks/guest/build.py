"""The disk of the build: GCC's compiler proper, the assembler and make, as they are on this machine, and the sources."""

import subprocess
from pathlib import Path

from benchmarks.guest.sources import write_sources
from benchmarks.swapping.guest import first_disk
from tests.guest.interpreter import copy_binary

# The collector's thresholds follow the machine's memory; with fixed ones every guest does the same work.
OPTIONS = "-quiet -O0 -ffreestanding --param ggc-min-heapsize=131072 --param ggc-min-expand=100"

# A job that has no memory must not end the others, and no job is lost: make goes on and tells.
_WORK = """#!/bin/sh
begin=$(cut -d' ' -f1 /proc/uptime)
make -s -k -C /src -j"$1"
status=$?
echo "bench: seconds $(echo "$begin $(cut -d' ' -f1 /proc/uptime)" | awk '{ print $2 - $1 }')"
# 48 bits: a floating point number holds them.
echo "bench: checksum $((0x$(cat /tmp/*.o | md5sum | cut -c1-12)))"
exit $status
"""
_MAKEFILE = """OBJECTS := $(patsubst %.c,/tmp/%.o,$(wildcard *.c))
all: $(OBJECTS)
/tmp/%.o: %.c
	@COMPILER@ @OPTIONS@ $< -o /tmp/$*.s && @ASSEMBLER@ /tmp/$*.s -o $@ && rm /tmp/$*.s
"""


def compiler() -> Path:
    """Return GCC's compiler proper."""
    return Path(_gcc("-print-prog-name=cc1"))


def compiler_version() -> str:
    """Return the version of GCC."""
    return _gcc("-dumpfullversion")


def _gcc(question: str) -> str:
    done = subprocess.run(["gcc", question], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def make_disk(target: Path, files: int, *, types: int) -> None:
    """Make the disk with so many files to compile."""
    with first_disk(target, _WORK) as root:
        binaries = {
            "@COMPILER@": compiler(),
            "@ASSEMBLER@": Path("/usr/bin/as").resolve(),
            "@MAKE@": Path("/usr/bin/make").resolve(),
        }
        text = _MAKEFILE.replace("@OPTIONS@", OPTIONS)
        for word, binary in binaries.items():
            copy_binary(root, binary)
            text = text.replace(word, str(binary))
        (root / "src").mkdir()
        write_sources(root / "src", files, types=types)
        (root / "src" / "Makefile").write_text(text)
