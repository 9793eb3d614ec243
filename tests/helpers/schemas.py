"""The schemas of docs/schema, as strict as a test wants them: a key that none of them has is a fault."""

import json
from typing import Any, Final

import jsonschema

from tests.docs.pages import DOCS

FOLDER: Final = DOCS / "schema"


def load(name: str) -> dict[str, Any]:
    """Return the schema of a file without the ending."""
    schema: dict[str, Any] = strict(json.loads((FOLDER / f"{name}.json").read_text()))
    return schema


def strict(schema: Any) -> Any:
    """Return a schema in which objects have no other keys, and other files are put in."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return load(schema["$ref"].removesuffix(".json"))
    found = {key: strict(each) for key, each in schema.items()}
    if "properties" in schema and "required" in schema:
        found["additionalProperties"] = False
    return found


def check(name: str, value: object) -> None:
    """Hold a value against the schema of a command."""
    jsonschema.validate(value, load(name), jsonschema.Draft202012Validator)
