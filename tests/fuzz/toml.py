"""Almost-valid TOML: lines of a text moved, doubled, dropped, or given another value."""

import random
from typing import Final

# By lines with `key = value`; some are no TOML at all.
VALUES: Final = (
    b"0", b"1", b"-1", b"4096", b"1023", b"7701", b"9" * 30, b"0x" + b"f" * 5000, b"1_0", b"0o17", b"1e9", b"true",
    b"false", b"inf", b"nan", b"-nan", b"0.5", b'""', b'"alpha"', b'"beta"', b"'rack-1'", b'"2MiB"', b'"127.0.0.1"',
    b'"::1"', b'"10.0.0.1"', b'"127.0.0.1:80"', b'"debug"', b'"zstd"', b'"\\u0000"', b'"\\n"', b'"\xc3\xaf"',
    b'"""\nalpha"""', b"'''\n\n'''", b"[]", b"[1]", b"[[1], ['a', {b = 1}]]", b"{}", b"{a = 1}", b'{number = 1, name = "a"}',
    b"[ # a comment\n]", b"2026-01-01", b"2026-02-31", b"12:00:00", b"1979-05-27T07:32:00Z", b'["root", 0]', b"[" * 50,
)  # fmt: skip
LINES: Final = (
    b"[[node]]", b"[node]", b"[[export]]", b"[memory]", b"[timers]", b"[node.x]", b"[[node.x]]", b"# a comment",
    b"", b"   ", b"\t# tabs", b"number = 4", b'name = "delta"', b'address = "127.0.0.1"', b"port = 7704", b'zone = "z"',
    b"cordoned = true", b"membership_version = 3", b"membership_origin = 2", b"node = []", b"a.b.c = 1", b'"name" = "lab"',
    b"timers.idle_seconds = 20.0", b"node.number = 1",
)  # fmt: skip


def change_lines(text: bytes, rng: random.Random) -> bytes:
    """Return the text with a few changes."""
    lines = text.split(b"\n")
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(lines))
        key, equals, _ = lines[at].partition(b"=")
        match rng.randrange(8):
            case 0 | 1 | 2 if equals:
                lines[at] = key.rstrip() + b" = " + rng.choice(VALUES)
            case 3 if equals:
                lines[at] += b"  # why"
            case 4:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 5 if len(lines) > 1:
                del lines[at]
            case 6:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case _:
                lines.insert(at, rng.choice(LINES))
    return b"\n".join(lines)


def blocks(text: bytes) -> list[bytes]:
    """Return a text cut before each table header."""
    return (b"\n" + text).replace(b"\n[", b"\0\n[").split(b"\0")


def change_text(text: bytes, rng: random.Random) -> bytes:
    """Return the text with a few lines changed or, now and then, whole tables moved, doubled or dropped."""
    if rng.random() < 0.6:
        return change_lines(text, rng)
    parts = blocks(text.replace(b"\0", b""))
    at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
    match rng.randrange(3):
        case 0:
            parts[at], parts[other] = parts[other], parts[at]
        case 1:
            parts.insert(at, parts[other])
        case _:
            del parts[at]
    return b"".join(parts).removeprefix(b"\n")
