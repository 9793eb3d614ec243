"""C sources to compile: made from a seed, with one large header, as those of a kernel have it.

Most of a compiler's memory and time goes to the header; every file then uses some of its types.
"""

import random
from collections.abc import Iterator
from pathlib import Path

SEED = 20120321
FUNCTIONS = 10
_STATEMENTS = (
    "\tif (v > {a}) t += p->values[(unsigned)v % 2] ^ {b}; else t -= v * {c};",
    "\tfor (int i = 0; i < {c}; i++) t = t * {c} + p->bytes[0] + i;",
    "\tswitch (v & 7) {{ case 0: t++; break; case 3: t *= {c}; break; default: t ^= v + {b}; }}",
    "\twhile (p->next && t < {a}) {{ p = p->next; t += p->value; }}",
)


def write_sources(folder: Path, files: int, *, types: int) -> None:
    """Write the header and some files that include it."""
    rng = random.Random(SEED)
    (folder / "types.h").write_text("\n".join(_header(types, rng)))
    for number in range(1, files + 1):
        (folder / f"file{number}.c").write_text("\n".join(_source(number, types, rng)))


def _header(types: int, rng: random.Random) -> Iterator[str]:
    for each in range(types):
        yield f"struct type{each} {{"
        yield f"\tint value; long values[{rng.randrange(2, 30)}];"
        yield f"\tstruct type{each} *next; unsigned char bytes[{rng.randrange(1, 60)}];"
        yield "};"
        yield f"extern int use{each}(struct type{each} *p, int v);"
        yield f"static inline long sum{each}(const struct type{each} *p)"
        yield "{"
        yield "\tlong t = p->value;"
        yield f"\tfor (; p; p = p->next) t += p->values[{rng.randrange(2)}] * {rng.randrange(1, 99)};"
        yield "\treturn t;"
        yield "}"


def _source(number: int, types: int, rng: random.Random) -> Iterator[str]:
    yield '#include "types.h"'
    for each in range(FUNCTIONS):
        used = rng.randrange(types)
        yield f"int function{number}_{each}(struct type{used} *p, int v)"
        yield "{"
        yield f"\tlong t = sum{used}(p);"
        for _ in range(rng.randrange(4, 14)):
            yield rng.choice(_STATEMENTS).format(
                a=rng.randrange(10**6), b=rng.randrange(9999), c=rng.randrange(3, 40)
            )
        yield f"\treturn use{used}(p, (int)t);"
        yield "}"
