"""Whether a command has printed what the page shows, but for what is another at each run.  Pure.

A line of the page that is `…` stands for any number of lines, and a `…` inside a line for any words.
"""

import difflib
import re
from collections.abc import Sequence
from typing import Final

ANYTHING: Final = "…"
_NUMBER: Final = r"\d(?:[\d,]*\d)?(?:\.\d+)?"
# That there are none is what an operator waits for.
_SOME: Final = rf"(?!0 ){_NUMBER}"

# All that may differ, with what stands for it: everything else is compared as it is.
VARYING: Final = tuple(
    (re.compile(pattern), stand_in)
    for pattern, stand_in in (
        # Moments: of the log and of events, of certificates, of Prometheus.
        (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z| UTC)?", "MOMENT"),
        (r"\b\d{4}-\d\d-\d\d\b", "DAY"),
        (r"@\[[\d.]+\]", "@[MOMENT]"),
        # An upgrade may take its time, but clients wait meanwhile: 30 s are the most.
        (
            r"(?<=serves again after )(?:\d{1,3} ms|(?:[12]?\d(?:\.\d+)?|30(?:\.0+)?) s)\b",
            "AT_MOST_30_SECONDS",
        ),
        # How long something took, is left, or lasts.
        (rf"(?<!serves again after )\b{_NUMBER} ?(?:us|ms|s|min|h|seconds|days)\b", "TIME"),
        # Noise is compressed as it comes, and pages travel when there is time.
        (rf"\b{_SOME} (?:[KMGT]i)?B\b", "BYTES"),
        (rf"\b{_SOME} (?=pages?\b|compressed pages\b|a second\b)", "N "),
    )
)


_ANY_VARYING: Final = re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in VARYING))


def plain(line: str) -> str:
    """Return a line without what varies, and without the width of its columns, which follows from that."""
    for pattern, stand_in in VARYING:
        line = pattern.sub(stand_in, line)
    return " ".join(line.split())


def is_like(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Return whether these lines are what the page shows."""
    return refreshed(shown, printed) is not None


def refreshed(shown: Sequence[str], printed: Sequence[str]) -> tuple[str, ...] | None:
    """Return what the page shows, with what varies as it was printed this time; None if something else was printed."""
    if not shown:
        return None if printed else ()
    first, *others = shown
    if first == ANYTHING:
        rests = (refreshed(others, printed[begin:]) for begin in range(len(printed) + 1))
        rest = next((each for each in rests if each is not None), None)
        return None if rest is None else (first, *rest)
    line = _refreshed_line(first, printed[0]) if printed else None
    if line is None or (rest := refreshed(others, printed[1:])) is None:
        return None
    return (line, *rest)


def _refreshed_line(shown: str, printed: str) -> str | None:
    if ANYTHING not in shown:
        return printed if plain(shown) == plain(printed) else None
    pieces = (f"({_pattern(piece)})" for piece in shown.split(ANYTHING))
    match = re.fullmatch(".*".join(pieces), printed)
    return match and ANYTHING.join(match.groups())


def _pattern(text: str) -> str:
    """Return a pattern of a text in which what varies may be anything that varies, and columns have any width."""
    parts: list[str] = []
    end = 0
    for match in _ANY_VARYING.finditer(text):
        parts += [_as_it_is(text[end : match.start()]), f"(?:{_ANY_VARYING.pattern})"]
        end = match.end()
    return "".join([*parts, _as_it_is(text[end:])])


def _as_it_is(text: str) -> str:
    return " +".join(map(re.escape, re.split(" +", text)))


def difference(shown: Sequence[str], printed: Sequence[str]) -> str:
    """Return what differs, as diff(1) shows it, without what varies."""
    return "\n".join(
        difflib.unified_diff(
            [plain(line) for line in shown],
            [plain(line) for line in printed],
            "the page", "the cluster", lineterm="",
        )
    )  # fmt: skip
