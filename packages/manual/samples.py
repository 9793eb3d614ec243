"""What a sample teaches, as data: its tables, and each key with its text and its default.  Pure.

A sample has comments above what they are about.  A key that is commented out shows its default; behind another one the
default is named.  A comment above an empty line is about the whole file or table.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TABLE: Final = re.compile(r"#?(\[{1,2}[\w.]+\]{1,2})")
_KEY: Final = re.compile(r"(#?)(\w+) = (.*?)(?:  # default (.*))?")


@dataclass
class Keys:
    """Keys that stand together, below one text."""

    text: str
    # By name: the default, or None where a file must say something.
    defaults: dict[str, str | None] = field(default_factory=dict)


@dataclass
class Table:
    """A table of a file; that of the file itself has no name."""

    name: str
    texts: list[str] = field(default_factory=list)
    keys: list[Keys] = field(default_factory=list)

    def add(self, key: str, text: str, default: str | None) -> None:
        """Note a key; without a text it belongs to the one before."""
        for each in self.keys:
            if key in each.defaults:
                # The second table of a kind: it may name the default that the first one does not.
                each.defaults[key] = each.defaults[key] or default
                return
        if text or not self.keys:
            self.keys.append(Keys(text))
        self.keys[-1].defaults[key] = default


def read_sample(sample: str) -> list[Table]:
    """Return the tables of a sample, in their order."""
    tables = [Table("")]
    comment: list[str] = []
    for line in sample.splitlines():
        text = " ".join(comment)
        if match := _TABLE.fullmatch(line):
            tables.append(_table(tables, match[1]))
            tables[-1].texts += [text] if text else []
            comment = []
        elif match := _KEY.fullmatch(line):
            is_out, key, value, default = match.groups()
            tables[-1].add(key, text, value if is_out else default)
            comment = []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        else:
            tables[-1].texts += [text] if text else []
            comment = []
    return list(_once(tables))


def _table(tables: list[Table], name: str) -> Table:
    """Return the table of that name: there may be several of a kind, and they are shown as one."""
    return next((each for each in tables if each.name == name), Table(name))


def _once(tables: list[Table]) -> Iterator[Table]:
    seen: list[Table] = []
    for each in tables:
        if not any(each is other for other in seen):
            seen.append(each)
            yield each
