"""The schema of a value that `ramsterd.observe.snapshot.to_plain` makes of a type.  Pure."""

import enum
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final, NewType, Union, get_args, get_origin, get_type_hints

from nodemanager.ids import NodeId

Schema = dict[str, Any]
_PLAIN: Final[dict[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def schema_of(kind: Any, *, has_names: bool = False) -> Schema:
    """Return the schema of a type; with `has_names` a number of a node is shown as its name."""
    if kind is NodeId and has_names:
        return {"type": "string"}
    if isinstance(kind, NewType):
        return schema_of(kind.__supertype__, has_names=has_names)
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {"enum": [each.name.lower() for each in kind]}
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return {
            "description": summary(kind),
            **object_of(
                {
                    each.name: schema_of(hints[each.name], has_names=has_names)
                    for each in fields(kind)
                }
            ),
        }
    return _generic(kind, has_names=has_names)


def _generic(kind: Any, *, has_names: bool) -> Schema:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return any_of(*(schema_of(each, has_names=has_names) for each in inner))
    if origin is not None and issubclass(origin, Mapping):
        return map_of(
            schema_of(inner[1], has_names=has_names),
            schema_of(inner[0], has_names=has_names).get("enum"),
        )
    if origin in {tuple, list, set, frozenset}:
        if origin is tuple and inner[1:] != (...,):
            items = [schema_of(each, has_names=has_names) for each in inner]
            return {"type": "array", "prefixItems": items, "items": False}
        return list_of(schema_of(inner[0], has_names=has_names))
    assert kind is Any or kind is object, f"no schema of {kind}"
    return {}


def object_of(
    properties: Mapping[str, Schema], *, optional: Mapping[str, Schema] | None = None
) -> Schema:
    """Return the schema of an object with these keys; of those that are optional none need be there."""
    found = {**properties, **(optional or {})}
    return {"type": "object", "properties": found, "required": list(properties)}


def map_of(value: Schema, keys: list[str] | None = None) -> Schema:
    """Return the schema of an object whose keys are names, of these if they are known."""
    named = {} if keys is None else {"propertyNames": {"enum": keys}}
    return {"type": "object", **named, "additionalProperties": value}


def list_of(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def any_of(*schemas: Schema) -> Schema:
    """Return the schema of a value that is one of these; plain types stand in one line."""
    if all(each.keys() == {"type"} for each in schemas):
        return {"type": [each["type"] for each in schemas]}
    return {"anyOf": list(schemas)}


def summary(kind: type) -> str:
    """Return the first sentence of what the code says of a type."""
    text = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return text if not text.startswith(f"{kind.__name__}(") else ""
