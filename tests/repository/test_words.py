"""Each thing is said in one way, wherever the product speaks: in code, comments, samples and documents."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("benchmarks", "config", "heartbeat", "net", "nodemanager", "ramsterd")
TEXTS = ("README.md", "CHANGELOG.md", "docs/**/*.md", "config/samples/*", "systemd/*")

# What the C library says of an address, in its words.
FOREIGN = "cannot assign requested address"


def said_in_code() -> Iterator[tuple[Path, int, str]]:
    """Yield each string and comment, with its place."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
                if token.type in {tokenize.STRING, tokenize.COMMENT}:
                    yield path, token.start[0], token.string


def said_in_texts() -> Iterator[tuple[Path, int, str]]:
    for pattern in TEXTS:
        for path in sorted(ROOT.glob(pattern)):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                yield path, number, line


def test_what_is_not_possible_cant_be() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, number, text in (*said_in_code(), *said_in_texts())
        if re.search(r"\bcan ?not\b", text.replace(FOREIGN, ""), re.IGNORECASE)
    ]
    assert not found, "say: can't"
