"""All manual pages of a release."""

from pathlib import Path
from typing import Final

from packages.manual import roff
from packages.manual.commands import describe, summary
from packages.manual.samples import Keys, Table, read_sample
from ramsterd.cli import ramsterctl, ramsterd
from ramsterd.cli.statuses import STATUSES

SAMPLES: Final = Path(__file__).parents[2] / "config" / "samples"
_PROGRAMS: Final = {"ramsterd": ramsterd.main, "ramsterctl": ramsterctl.main}
FILES: Final = {
    "ramsterd.toml": "the file of one node of ramster",
    "cluster.toml": "the members of a ramster cluster",
}
_MANUALS: Final = {5: "File Formats", 8: "System Administration"}
_PATHS: Final = {
    "/etc/ramster/ramsterd.toml": "The file of this node, see `ramsterd.toml`(5).",
    "/etc/ramster/cluster.toml": "The members of the cluster, see `cluster.toml`(5).",
    "/run/ramster/control.sock": "Where `ramsterctl` finds the daemon.",
    "/var/lib/ramster": "Which exports and pools have pages, over restarts.",
}
# Of the file that is read, and not of what it says.
OF_THE_SAMPLE: Final = " A key that is commented out shows its default."
_NAMES: Final = ("ramsterctl(8)", "ramsterd(8)", "cluster.toml(5)", "ramsterd.toml(5)")


def pages(version: str, date: str) -> dict[str, str]:
    """Return the text of each page by the name of its file."""
    found = {}
    for name, command in _PROGRAMS.items():
        head = _head(name, 8, summary(command), version, date)
        found[f"{name}.8"] = roff.join([head, describe(name, command), _tail(f"{name}(8)")])
    for name, title in FILES.items():
        head = _head(name, 5, title, version, date)
        tables = read_sample((SAMPLES / name).read_text())
        found[f"{name}.5"] = roff.join([head, describe_file(tables), _see_also(f"{name}(5)")])
    return found


def describe_file(tables: list[Table]) -> str:
    """Return the sections DESCRIPTION and KEYS of a file."""
    (top, *more) = tables
    texts = [f" {text}".replace(OF_THE_SAMPLE, "") for text in top.texts]
    found = [roff.heading("description"), *map(roff.paragraph, texts), roff.heading("keys")]
    found += [_describe_keys(each) for each in top.keys]
    for table in more:
        found += [roff.subheading(table.name), *map(roff.paragraph, table.texts)]
        found += [_describe_keys(each) for each in table.keys]
    return "".join(found)


def _describe_keys(keys: Keys) -> str:
    texts = [keys.text]
    for key, default in keys.defaults.items():
        of = f" of `{key}`" if len(keys.defaults) > 1 else ""
        texts.append("Required." if default is None else f"Default{of}: `{default}`.")
    return roff.item(keys.defaults, " ".join(texts))


def _head(name: str, section: int, title: str, version: str, date: str) -> str:
    source = f"ramster {version}"
    return roff.page(name, section, title, date=date, source=source, manual=_MANUALS[section])


def _tail(name: str) -> str:
    found = [roff.heading("exit status")]
    found += [
        roff.item([str(status)], f"{text[0].upper()}{text[1:]}.")
        for status, text in STATUSES.items()
    ]
    found += [roff.heading("files")]
    found += [roff.item([path], text) for path, text in _PATHS.items()]
    return "".join(found) + _see_also(name)


def _see_also(name: str) -> str:
    others = [each.partition("(") for each in _NAMES if each != name]
    shown = ", ".join(f"`{page}`({section}" for page, _, section in others)
    return roff.heading("see also") + roff.paragraph(f"{shown}; /usr/share/doc/ramster")
