"""Put finished figures of swapping guests into their document.

    python -m benchmarks.swap_page

Reads the files of `benchmarks.guest` and `benchmarks.apps`, and writes what stands between the marks of
`docs/swap-figures.md` anew.  `benchmarks.swap_plot` draws the pictures, which are shown once they are there.
"""

import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.apps import tables as apps
from benchmarks.guest import tables as guest
from benchmarks.swapping.cells import Cells

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "swap-figures.md"
LINE_CHARACTERS_MAX = 100
# What is committed; `make bench-guest` writes them.
FIGURES = {name: ROOT / "benchmarks" / name / "figures.json" for name in ("guest", "apps")}
PICTURES = {name: PAGE.parent / f"swap-{name}.png" for name in FIGURES}
ALTERNATIVES = {
    "guest": "seconds of a build by N, for each kind of swap, and the ancestor's",
    "apps": "slowdown of two applications with half their memory, for each kind of swap",
}
MARKDOWN: dict[str, Callable[[Cells], list[str]]] = {
    "guest": guest.markdown,
    "apps": apps.markdown,
}


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(page_text(PAGE.read_text()))


def page_text(text: str) -> str:
    """Return the page with what is kept now."""
    for name, path in FIGURES.items():
        cells = Cells.load(path) if path.exists() else None
        lines = section(name, cells, has_picture=PICTURES[name].exists())
        text = with_section(text, name, lines)
    text = with_section(text, "ancestor", guest.ancestor_markdown())
    return with_section(text, "references", apps.reference_markdown())


def section(name: str, cells: Cells | None, *, has_picture: bool) -> list[str]:
    """Return what the page says of a benchmark."""
    if cells is None or not cells.runs:
        return ["No figures are kept yet: `make bench-guest` measures them."]
    lines = [*MARKDOWN[name](cells), "", *machine(cells)]
    if has_picture:
        lines += ["", f"![{ALTERNATIVES[name]}]({PICTURES[name].name})"]
    return lines


def machine(cells: Cells) -> Iterator[str]:
    """Yield what the figures were measured on, as a list."""
    runs = [run for each in cells.runs.values() for run in each]
    loads = [run.load for run in runs]
    sizes = ", ".join(f"{name} {_words(value)}" for name, value in cells.parameters.items())
    for line in (
        *cells.machine,
        f"sizes: {sizes}",
        f"{len(runs)} runs; load of the host before a run: {min(loads):.1f} to {max(loads):.1f}",
    ):
        yield textwrap.fill(f"- {line}", LINE_CHARACTERS_MAX, subsequent_indent="  ")


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def with_section(text: str, name: str, lines: list[str]) -> str:
    """Replace what stands between two marks.

    Raises:
        ValueError: The marks are not there.
    """
    begin, end = f"<!-- {name}: made by benchmarks.swap_page -->", f"<!-- {name}: end -->"
    body = "\n".join(lines)
    replaced, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}\n\n{body}\n\n{end}",
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"found {count} sections {name!r} between marks, expected one")
    return replaced


if __name__ == "__main__":
    main()
