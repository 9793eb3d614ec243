"""What a target of the fuzzer is.  No fuzzing engine here, so that plain pytest replays the kept corpus."""

import importlib
import random
from collections.abc import Callable, Iterator, Mapping, Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
CORPUS: Final = FOLDER / "corpus"
# One file a target; its first line is the invariant.
NAMES: Final = sorted(path.stem for path in (FOLDER / "targets").glob("*.py"))
# A stream this short is also cut into single bytes; longer ones would take milliseconds.
SINGLE_BYTES_MAX: Final = 1024


def as_it_is(data: bytes, _: random.Random) -> bytes:
    """Repair nothing."""
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One entry point, and what must hold of it whatever comes."""

    # Does what the entry point does with an input and returns which branches that reached, in words of its own.  The errors
    # that it names are caught there; any exception that comes out is a finding.
    check: Callable[[bytes], AbstractSet[str]]
    # Real messages, made by our own encoders; by name.
    seeds: Callable[[], Mapping[str, bytes]]
    # What the kept corpus must reach, or the fuzzer would never come in.
    outcomes: frozenset[str]
    # Makes an input almost valid (lengths, magic, MAC), so that mutations reach what lies behind the first check.
    repair: Callable[[bytes, random.Random], bytes] = as_it_is
    # Longer inputs are not tried.
    bytes_max: int = 4096
    # Words of the format.
    tokens: tuple[bytes, ...] = ()


def load(name: str) -> Target:
    """Return a target by its name."""
    target = importlib.import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target


def kept_inputs(name: str) -> dict[str, bytes]:
    """Return the kept corpus of a target by file name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


def pieces(stream: bytes, rule: int) -> Iterator[bytes]:
    """Cut a stream as an input's own byte says: 0 not at all, 1 into single bytes, else anywhere."""
    if rule == 0 or (rule == 1 and len(stream) > SINGLE_BYTES_MAX):
        yield stream
        return
    rng = random.Random(rule)
    while stream:
        count = 1 if rule == 1 else rng.choice((1, 2, 3, 16, 19, 20, 21, 28, 300, 4096))
        yield stream[:count]
        stream = stream[count:]
