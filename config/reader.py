"""TOML text to frozen dataclasses: strict, generic, driven by the annotations of the dataclasses.

Field names are the keys.  A field is a nested table (a dataclass), an array of tables (a tuple of
dataclasses), an enum, a table of enums by name, or one of `config.kinds`.  The first mistake raises
ConfigError with the full path of its key, such as `node[2].port`; indexes count from 0 here, and
from 1 where a person reads them (`config.where`).
"""

import dataclasses
import difflib
import enum
import functools
import re
import tomllib
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from config.errors import ConfigError, Mismatch
from config.kinds import NAME, Kind, Rows, SizeOrShare
from config.memory import MemoryBound

T = TypeVar("T")

# Found values stand in one line of an error; longer ones are cut.
SHOWN_MAX: Final = 60
# tomllib stops so after a number with a unit, and after a word.
_NO_END: Final = "Expected newline or end of document"
_UNQUOTED: Final = "; a size or a word is written in quotes, such as '16MiB'"
_WHERE: Final = re.compile(r"(.*) \(at (.*)\)", re.DOTALL)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def read_toml(
    data: bytes, model: type[T], *, file: str, folder: Path, memory: MemoryBound | None = None
) -> T:
    """Return the `model` that the bytes of a TOML file describe.

    Relative paths start at `folder`, percentages are of `memory` (None: they are refused).

    Raises:
        ConfigError: For the first mistake; `file` is the name it mentions.
    """
    return read_plain(_parse(data, file), model, file=file, folder=folder, memory=memory)


def read_plain(
    table: object, model: type[T], *, file: str, folder: Path, memory: MemoryBound | None = None
) -> T:
    """Return the `model` that plain values describe, such as a parsed TOML file or a peer's message.

    Raises:
        ConfigError: For the first mistake; `file` is the name it mentions.
    """
    reader = _Reader(file=file, folder=folder, memory=memory, top_keys=_keys(model))
    return reader.read_table(table, model, "")


def show(value: object) -> str:
    """Return a TOML value as an error message shows it: one line, not long."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            # Python refuses to print very long numbers.
            return str(value) if value.bit_length() <= 4 * SHOWN_MAX else "a very long number"
        case str():
            return _cut(repr(value))
        case list():
            return "an array"
        case dict():
            return "a table"
        case _:
            return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"


def _keys(model: type) -> list[str]:
    return [each.name for each in dataclasses.fields(model)]


# They are compiled from text each time, and members send each other what is read here.
@functools.cache
def _hints(model: type) -> dict[str, Any]:
    return typing.get_type_hints(model, include_extras=True)


def _join(path: str, key: str) -> str:
    shown = _cut(key if _BARE_KEY.fullmatch(key) else repr(key))
    return f"{path}.{shown}" if path else shown


def _parse(data: bytes, file: str) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, f"line {line}", "bytes that are not UTF-8", "TOML text") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _WHERE.fullmatch(str(error))
        what, where = match.groups() if match else (str(error), "")
        if where == "end of document":
            where = f"line {text.count(chr(10), 0, len(text.rstrip())) + 1}, the end"
        found = " ".join(what.split())
        hint = _UNQUOTED if what.startswith(_NO_END) else ""
        raise ConfigError(file, where, f"bad TOML ({found})", f"valid TOML{hint}") from None
    except ValueError:  # a decimal number of thousands of digits, or a date such as 2026-02-31
        raise ConfigError(file, "", "a number or date out of range", "valid TOML") from None
    except RecursionError:
        raise ConfigError(file, "", "arrays or tables nested too deep", "valid TOML") from None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    file: str
    folder: Path
    memory: MemoryBound | None
    top_keys: list[str]

    def read_table(self, table: object, model: type[T], path: str) -> T:
        """Return `model` from a table; `path` is where the table stands."""
        if not isinstance(table, dict):
            raise ConfigError(self.file, path, show(table), "a table")
        self._refuse_unknown(table, _keys(model), path)
        hints = _hints(cast("Any", model))
        values: dict[str, object] = {}
        for each in dataclasses.fields(cast("Any", model)):
            key_path = _join(path, each.name)
            if each.name in table:
                values[each.name] = self._read_value(table[each.name], hints[each.name], key_path)
            elif _is_required(each):
                raise ConfigError(self.file, key_path, "nothing", "a value: this key is required")
        return model(**values)

    def _refuse_unknown(self, table: dict[str, object], known: list[str], path: str) -> None:
        for key in table:
            if key in known:
                continue
            if path and key in self.top_keys:
                # In TOML a key belongs to the last [table] above it: an easy mistake.
                expected = f"{key} at the top of the file, before the first [table]"
            elif near := difflib.get_close_matches(key[:SHOWN_MAX], known, n=1):
                expected = f"{near[0]} (the nearest known key)"
            else:
                expected = f"one of {', '.join(known)}"
            raise ConfigError(self.file, _join(path, key), "an unknown key", expected)

    def _read_value(self, value: object, hint: Any, path: str) -> object:
        metadata = getattr(hint, "__metadata__", ())
        if metadata and isinstance(metadata[0], Kind):
            kind = metadata[0]
            if isinstance(kind, SizeOrShare):
                kind = kind.given(self.memory)
            try:
                return kind.read(value, self.folder)
            except Mismatch as error:
                raise ConfigError(self.file, path, show(value), str(error)) from None
        if metadata and isinstance(metadata[0], Rows):
            (row_model, _) = typing.get_args(typing.get_args(hint)[0])
            return self._read_rows(value, row_model, metadata[0], path)
        if typing.get_origin(hint) is dict:
            return self._read_enums(value, typing.get_args(hint)[1], path)
        if isinstance(hint, type) and issubclass(hint, enum.StrEnum):
            return self._read_enum(value, hint, path)
        if isinstance(hint, types.UnionType):  # a table that may be absent
            (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
        return self.read_table(value, hint, path)

    def _read_rows(self, value: object, model: type[T], rows: Rows, path: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ConfigError(self.file, path, show(value), f"[[{path}]] tables")
        if not rows.least <= len(value) <= rows.most:
            raise ConfigError(
                self.file, path, f"{len(value)} [[{path}]] tables", f"{rows.least} to {rows.most}"
            )
        return tuple(
            self.read_table(row, model, f"{path}[{index}]") for index, row in enumerate(value)
        )

    def _read_enums(
        self, value: object, model: type[enum.StrEnum], path: str
    ) -> dict[str, enum.StrEnum]:
        if not isinstance(value, dict):
            raise ConfigError(self.file, path, show(value), "a table")
        levels = {}
        for key, each in value.items():
            if NAME.fullmatch(key) is None:
                raise ConfigError(
                    self.file, _join(path, key), "a bad name", "a name of a-z, 0-9, '.' and '-'"
                )
            levels[key] = self._read_enum(each, model, _join(path, key))
        return levels

    def _read_enum(self, value: object, model: type[enum.StrEnum], path: str) -> enum.StrEnum:
        for member in model:
            if member.value == value:
                return member
        raise ConfigError(self.file, path, show(value), f"one of {_quoted(model)}")


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f"'{each}'" for each in values)


def _is_required(each: "dataclasses.Field[Any]") -> bool:
    return each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
