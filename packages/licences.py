"""Whose the bundled libraries are, and on what terms: the file `copyright` of a Debian package."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from packages.environment import PREFIX

# Long texts that each Debian has in a place of its own.
_APACHE: Final = "/usr/share/common-licenses/Apache-2.0"
_FORMAT: Final = "https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
_FILES: Final = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS)", re.IGNORECASE)
_HOLDER: Final = re.compile(
    r"^\s*Copyright (?:\(c\) )?(.*\d{4}.*?)\s*$", re.IGNORECASE | re.MULTILINE
)
_APACHE_TEXT: Final = re.compile(r"Apache License\s+Version 2\.0, January 2004")
_NONE: Final = "its authors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A library that is inside the package."""

    name: str
    version: str
    # As the library names it.
    licence: str
    holders: tuple[str, ...]
    # By file: the whole text.
    texts: dict[str, str]


class NoLicence(Exception):
    """A library does not say on what terms it may be passed on."""


def bundled_in(libraries: Path) -> list[Bundled]:
    """Return all libraries in a folder of an environment, but for ramster.

    Raises:
        NoLicence: One has no text: it can't be in a package.
    """
    found = [_read(folder) for folder in sorted(libraries.glob("*.dist-info"))]
    return [each for each in found if each.name != "ramster"]


def copyright_text(bundled: list[Bundled]) -> str:
    """Return the file."""
    stanzas = [
        f"Format: {_FORMAT}\nUpstream-Name: ramster",
        "Files: *\nCopyright: the authors of ramster\nLicense: Apache-2.0",
    ]
    stanzas += [_files_of(each) for each in bundled]
    stanzas.append(f"License: Apache-2.0\n The whole text is in {_APACHE}.")
    stanzas += [_texts_of(each) for each in bundled]
    return "\n\n".join(stanzas) + "\n"


def _read(folder: Path) -> Bundled:
    metadata = HeaderParser().parsestr((folder / "METADATA").read_text())
    name, version = metadata["Name"], metadata["Version"]
    texts = {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _FILES.match(path.name)
    }
    if not texts:
        raise NoLicence(f"{name} {version} has no text of its licence")
    holders = [each for text in texts.values() for each in _HOLDER.findall(text)]
    licence = metadata["License-Expression"] or metadata["License"] or "see the text"
    return Bundled(
        name=name,
        version=version,
        licence=licence.splitlines()[0],
        holders=tuple(dict.fromkeys(holders)) or (_NONE,),
        texts=texts,
    )


def _files_of(each: Bundled) -> str:
    holders = "\n ".join(each.holders)
    return (
        f"Files: {PREFIX}/lib/*/{each.name}*\nCopyright: {holders}\nLicense: {_short_name(each)}\n"
        f"Comment: {each.name} {each.version}, {each.licence}"
    )


def _texts_of(each: Bundled) -> str:
    lines = [f"License: {_short_name(each)}"]
    for file, text in each.texts.items():
        lines.append(f" {each.name} {each.version}, {file}:")
        lines += _shown(text)
    return "\n".join(lines)


def _shown(text: str) -> Iterator[str]:
    """Yield the lines of a text as a stanza has them."""
    if _APACHE_TEXT.search(text):
        yield f" The whole text is in {_APACHE}."
        return
    for line in text.strip().splitlines():
        yield f"  {line.rstrip()}" if line.strip() else " ."


def _short_name(each: Bundled) -> str:
    return f"of-{each.name.lower()}"
