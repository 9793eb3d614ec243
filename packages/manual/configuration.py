"""`python -m packages.manual.configuration > docs/configuration.md`: every key of both files, as a page of the book."""

import re
import textwrap
from typing import Final

from config.differences import APPLIED
from packages.manual.pages import FILES, OF_THE_SAMPLE, SAMPLES
from packages.manual.samples import Keys, Table, read_sample

_TOP: Final = """\
# Configuration

This page lists every key of the two files, with its default.
It is made from the samples in `config/samples`, which are good to begin with.
`ramsterd check-config` checks the files without a daemon, and names what is wrong.
`ramsterctl config reload` applies a changed `ramsterd.toml`: the last column says which keys a
reload applies, and which wait for a restart.
"""
LINE_MAX: Final = 100
# Its keys are the members of the cluster: daemons write them.
_OF_DAEMONS: Final = "cluster.toml"


def configuration_page() -> str:
    """Return the page."""
    parts = [_TOP]
    for name, title in FILES.items():
        (top, *more) = read_sample((SAMPLES / name).read_text())
        parts.append(f"## {name}\n\n{title[0].upper()}{title[1:]}.\n")
        parts += [_describe(name, top, ""), *(_describe(name, table, table.name) for table in more)]
    return "\n".join(parts)


def _describe(file: str, table: Table, heading: str) -> str:
    lines = [f"### {heading}", ""] if heading else []
    for text in table.texts:
        lines += [*_sentences(text.replace(OF_THE_SAMPLE, "").removeprefix(f"{file}: ")), ""]
    if not table.keys:
        return "\n".join(lines)
    has_reload = file != _OF_DAEMONS
    lines += ["| key | default | what it is |" + (" applied by |" if has_reload else "")]
    lines += ["| --- | --- | --- |" + (" --- |" if has_reload else "")]
    for keys in table.keys:
        lines += _rows(keys, heading.strip("[]"), has_reload=has_reload)
    return "\n".join([*lines, ""])


def _rows(keys: Keys, table: str, *, has_reload: bool) -> list[str]:
    """Return a line for each key; what several have in common stands at the first one."""
    rows, text = [], _cell(keys.text)
    for key, default in keys.defaults.items():
        shown = "required" if default is None else f"`{_cell(default)}`"
        path = f"{table}.{key}" if table else key
        applied = (" reload |" if path in APPLIED else " restart |") if has_reload else ""
        rows.append(f"| `{key}` | {shown} | {text} |{applied}")
        text = "as above"
    return rows


def _cell(text: str) -> str:
    return re.sub(r" +", " ", text).replace("|", "\\|")


def _sentences(text: str) -> list[str]:
    """Return a sentence a line, as pages of the book have them."""
    sentences = [f"{each[0].upper()}{each[1:]}" for each in re.split(r"(?<=[.?]) +", text.strip())]
    return [line for each in sentences for line in textwrap.wrap(each, LINE_MAX)]


if __name__ == "__main__":
    print(configuration_page(), end="")  # noqa: T201  a program
