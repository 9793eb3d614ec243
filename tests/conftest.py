"""What holds for all tests; each rule of its own is a plugin."""

import gc
import os
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from ramsterd.host.collector import GC_THRESHOLD

pytest_plugins = (
    "tests.plugins.alone",
    "tests.plugins.collecting",
    "tests.plugins.descriptors",
    "tests.plugins.examples",
    "tests.plugins.long",
    "tests.plugins.loops",
    "tests.plugins.order",
    "tests.plugins.seeds",
    "tests.plugins.shown",
    "tests.plugins.skips",
    "tests.plugins.slow",
    "tests.plugins.stalls",
)

# `make test-guest` and `make soak`: minutes each.
ONLY_BY_NAME = {Path(__file__).parent / name for name in ("guest", "soak")}
# Of a parallel run: tests of daemons mostly wait, so some more than there are cores; with more, waits become too long.
WORKERS_BESIDE_CORES = 4
WORKERS_MAX = 6
# `ip` and others live where only root's path leads; tests find them by name.
SYSTEM_PATH = "/usr/sbin:/sbin"


def pytest_configure(config: pytest.Config) -> None:
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PATH}"
    # Tests start hundreds of programs.  Where Python keeps no bytecode, compiling is half of what a daemon's start costs, and
    # most of what collecting the tests does.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        sys.pycache_prefix = str(config.rootpath / ".pytest_cache" / "bytecode")
        sys.dont_write_bytecode = False
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Answer what `-n auto` means."""
    return min(len(os.sched_getaffinity(0)) + WORKERS_BESIDE_CORES, WORKERS_MAX)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the folders with a make target of their own, unless they are asked for by name."""
    if collection_path not in ONLY_BY_NAME:
        return None
    asked = [Path(argument.partition("::")[0]).absolute() for argument in config.args]
    return None if any(path.is_relative_to(collection_path) for path in asked) else True


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without the collector of cycles: what is made now stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Let the collector pass over what stands by now: it stays, and tests that look for leftovers collect often."""
    gc.freeze()
    # As the daemon has it.
    gc.set_threshold(GC_THRESHOLD)
