"""Promises: every key that a schema requires, as a path.  Programs rely on them, so none ever goes.  Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from packages.schema.types import Schema

PROMISES: Final = "promises.txt"
ROW: Final = "[]"
NAME: Final = "*"


def promised(documents: Mapping[str, Schema]) -> set[str]:
    """Return the paths of all required keys, such as `status.json engine.store.zpages.own_clean`."""
    return {f"{name} {path}" for name, schema in documents.items() for path in _paths(schema, "")}


def _paths(schema: Schema, path: str) -> Iterator[str]:
    for key in schema.get("required", ()):
        below = f"{path}.{key}" if path else key
        yield below
        yield from _paths(schema["properties"][key], below)
    for each in schema.get("anyOf", ()):
        yield from _paths(each, path)
    if isinstance(items := schema.get("items"), dict):
        yield from _paths(items, f"{path}{ROW}")
    if isinstance(values := schema.get("additionalProperties"), dict):
        yield from _paths(values, f"{path}.{NAME}" if path else NAME)


def read_promises(file: Path) -> set[str]:
    """Return those that were made before."""
    return set(file.read_text().splitlines())
