"""Commands on the exports of a node, as changes of the text of its `ramsterd.toml`.  Pure.

Whether the daemon can follow is judged elsewhere.
"""

import dataclasses
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from config.errors import ConfigError
from config.model import ExportConfig
from config.reader import show
from config.toml_rows import CannotEdit, Value, append_row, remove_row, set_value
from config.units import format_bytes

TABLE: Final = "export"
_DEFAULTS: Final = {
    each.name: each.default
    for each in dataclasses.fields(ExportConfig)
    if each.default is not dataclasses.MISSING
}


@dataclass(frozen=True, slots=True)
class AddExport:
    """One more export."""

    export: ExportConfig

    @property
    def name(self) -> str:
        """Return the name of the export that it is about."""
        return self.export.name


@dataclass(frozen=True, slots=True)
class RemoveExport:
    """An export goes."""

    name: str


@dataclass(frozen=True, slots=True)
class ResizeExport:
    """An export gets another size."""

    name: str
    size: int


ExportEdit: TypeAlias = AddExport | RemoveExport | ResizeExport


def edit_exports(text: str, exports: Sequence[ExportConfig], edit: ExportEdit, *, file: str) -> str:
    """Return the text of a file after a change; what is so already is no mistake, and changes nothing.

    Args:
        text: What the file says.
        exports: What that means.
        edit: The change.
        file: How errors call the file.

    Raises:
        ConfigError: Another export has the name, none that is to be resized has it, or the layout
            of the file does not allow the change.
    """
    found = next((i for i, each in enumerate(exports) if each.name == edit.name), None)
    try:
        match edit:
            case AddExport(export):
                if found is not None:
                    _refuse_other(exports[found], export, file=file)
                    return text
                return append_row(text, TABLE, _values(export))
            case RemoveExport():
                return text if found is None else remove_row(text, TABLE, found)
            case ResizeExport(_, size):
                if found is None:
                    raise _not_there(edit.name, file=file)
                if exports[found].size == size:
                    return text
                return set_value(text, TABLE, found, "size", format_bytes(size))
    except CannotEdit as error:
        expected = "each export in one [[export]] table: edit the file, then type `ramsterctl config reload`"
        raise ConfigError(file, TABLE, str(error), expected) from None


def _not_there(name: str, *, file: str) -> ConfigError:
    expected = f"an export of the file. To put it into the file: `ramsterctl export add {name} --size SIZE`"
    return ConfigError(file, TABLE, f"no export {name}", expected)


def _refuse_other(there: ExportConfig, wanted: ExportConfig, *, file: str) -> None:
    """Raise ConfigError if an export has the name and something else that differs."""
    for each in dataclasses.fields(ExportConfig):
        ours, theirs = getattr(there, each.name), getattr(wanted, each.name)
        if ours != theirs:
            expected = (
                f"another name, or its {each.name}, {_plain(each.name, ours)}. To change a size:"
                f" `ramsterctl export resize {wanted.name} --size SIZE`"
            )
            found = f"export {wanted.name} with {each.name} {_plain(each.name, theirs)}"
            raise ConfigError(file, TABLE, found, expected)


def _plain(key: str, value: object) -> str:
    return format_bytes(cast("int", value)) if key == "size" else show(value)


def _values(export: ExportConfig) -> dict[str, Value]:
    """Return the keys of an export that a file has to name."""
    values: dict[str, Value] = {}
    for each in dataclasses.fields(ExportConfig):
        value = getattr(export, each.name)
        if each.name == "size":
            values[each.name] = format_bytes(value)
        elif value != _DEFAULTS.get(each.name):
            values[each.name] = value.value if isinstance(value, enum.StrEnum) else value
    return values
